"""An RFC 5322 message -> what is read of it: who wrote it, and what they say."""

import itertools
import re
from collections.abc import Callable, Iterator
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from email.parser import BytesParser
from email.policy import Compat32
from typing import Any, Final, NamedTuple, cast

from consumer import json_object
from consumer.errors import BadMessage
from consumer.mail import body, charsets
from consumer.mail.quotes import newest_part
from consumer.mail.signatures import unsigned
from consumer.visibility import visible

# Some of them are in every message, and hardly ever at the start of anything else.
_HEADER: Final = ("From", "Date", "Message-ID", "Subject", "To", "Received", "Return-Path", "Sender")
# The standard library's parser takes time and memory for each line, for each part, and for each line and
# container that it is in; of a header's length it takes the square. All of it is more than honest mail has.
_HEADER_CHARACTERS: Final = 4096
_MOST_LINES: Final = 200_000
_MOST_PARTS: Final = 1000
_MOST_CONTAINERS: Final = 20
_LINE_ENDS: Final = re.compile(rb"\r\n?|\n")


class Email(NamedTuple):
    """What is read of a message.

    message_id, sender, subject: as its header has them, decoded, on one line; None where it has not
    text: the subject, an empty line, and the newest part of the body
    """

    message_id: str | None
    sender: str | None
    subject: str | None
    text: str


def read(value: bytes) -> Email:
    """Read a message.

    Raises:
        BadMessage: `not-email`, `broken-mime` or `no-text`.
    """
    try:
        return _read(value)
    except (BadMessage, MemoryError):
        raise
    except Exception as error:
        # The parsers are other people's, and whoever sends mail has all the time to find where they fail.
        raise BadMessage("broken-mime", f"it cannot be read ({type(error).__name__})") from None


def _read(value: bytes) -> Email:
    message = _parsed(value)
    if not any(name in message for name in _HEADER):
        raise BadMessage("not-email", "it does not begin with the header of an e-mail")
    whole = body.text_of(message)
    if not visible(whole) and body.cannot_be_told_apart(message):
        raise BadMessage("broken-mime", "it says that it has parts, and none can be found")
    subject = _header(message, "Subject")
    text = "\n\n".join(filter(visible, (subject or "", unsigned(newest_part(whole)))))
    if not text:
        raise BadMessage("no-text", "neither its subject nor its body has anything to be seen")
    return Email(
        _header(message, "Message-ID"), _header(message, "From"), subject, json_object.readable(text)
    )


class _Policy(Compat32):
    """Headers as they came, without parsing what is in them, and none of endless length."""

    def header_fetch_parse(self, name: str, value: str) -> str:
        return value[:_HEADER_CHARACTERS]


class _Part(Message):
    """A part that is not read where it is a message of its own."""

    containers: Iterator[int]

    def get_content_type(self) -> str:
        found = super().get_content_type()
        return "application/octet-stream" if found.startswith("message/") else found

    def get_param(
        self, param: str, failobj: Any = None, header: str = "content-type", unquote: bool = True
    ) -> Any:
        try:
            return super().get_param(param, failobj, header, unquote)
        except (TypeError, ValueError):
            # Its numbered pieces do not fit together, which is no reason not to read the rest.
            return failobj

    def get_boundary(self, failobj: Any = None) -> Any:
        # Asked for once for each part that has parts.
        if next(self.containers) >= _MOST_CONTAINERS:
            raise BadMessage("broken-mime", f"more than {_MOST_CONTAINERS} of its parts have parts")
        return (body.parameter(self, "boundary") or "").rstrip() or failobj


def _parsed(value: bytes) -> body.Part:
    numbers, containers = itertools.count(), itertools.count()

    def part(policy: Any) -> _Part:
        if next(numbers) > _MOST_PARTS:
            raise BadMessage("broken-mime", f"it has more than {_MOST_PARTS} parts")
        made = _Part(policy)
        made.containers = containers
        return made

    return BytesParser(cast("Callable[[], _Part]", part), policy=_Policy()).parsebytes(_first_lines(value))


def _first_lines(value: bytes) -> bytes:
    if value.count(b"\n") + value.count(b"\r") <= _MOST_LINES:
        return value
    end = next(itertools.islice(_LINE_ENDS.finditer(value), _MOST_LINES, None), None)
    return value[: end.end()] if end else value


def _header(message: body.Part, name: str) -> str | None:
    value = message.get(name)
    return None if value is None else json_object.readable(" ".join(_decoded(value).split()))


def _decoded(value: str) -> str:
    """Decode a header's encoded words (RFC 2047), and bytes beyond ASCII that stand in it as they are."""
    text = charsets.decode(value.encode("ascii", "surrogateescape"), None)
    try:
        pieces = decode_header(text)
    except (HeaderParseError, ValueError):
        return text
    return "".join(piece if isinstance(piece, str) else _word(piece, charset) for piece, charset in pieces)


def _word(piece: bytes, charset: str | None) -> str:
    if charset is not None:
        # The language may follow (RFC 2231).
        return charsets.decode(piece, charset.partition("*")[0])
    try:
        return piece.decode("raw-unicode-escape")
    except UnicodeDecodeError:
        return piece.decode("latin-1")
