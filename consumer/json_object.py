"""A JSON object as its bytes: read its members, and add one without touching the others."""

import json
import re
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any, NoReturn

import orjson

from consumer.errors import BadMessage

_SPACES = " \t\r\n"
_SPACE_BYTES = _SPACES.encode()
_SPACE = re.compile(f"[{_SPACES}]*")
# Nobody escapes a letter but to write a name in another way.
_ESCAPED_LETTER = re.compile(rb"\\u00[67]")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")


def _skip(_: str) -> float:
    return 0.0


# Numbers are passed over, so that any number of digits is as cheap.
_DECODER = json.JSONDecoder(parse_int=_skip, parse_float=_skip, parse_constant=_refuse)


def parse(document: bytes) -> Any:
    """Read a JSON document; of a member that stands twice the last counts.

    What orjson refuses, the standard library reads again, since orjson refuses some valid JSON: numbers that
    no double holds, which become 0, and half a surrogate pair, which text cut inside an emoji ends with.

    Raises:
        BadMessage: `not-utf8`, or `not-json`.
    """
    try:
        return orjson.loads(document)
    except orjson.JSONDecodeError:
        pass
    try:
        return _DECODER.decode(document.decode())
    except UnicodeDecodeError as error:
        raise BadMessage("not-utf8", f"byte {error.start}: {error.reason}") from None
    except ValueError as error:
        raise BadMessage("not-json", str(error)) from None
    except RecursionError:
        raise BadMessage("not-json", "nested too deeply") from None


def readable(text: str) -> str:
    """Put the replacement character where a surrogate stands alone: no UTF-8 holds one."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return _LONE_SURROGATE.sub("\ufffd", text)
    return text


def with_member(document: bytes, name: str, value: bytes) -> bytes:
    """Add a member at the end of a JSON object, instead of those of that name.

    Every other byte stays, save white space before the closing brace and after it. Parsing and writing the
    object again would change numbers that fit no float, and drop repeated names.

    Args:
        document: a valid JSON object.
        name: the member's name, ASCII letters.
        value: JSON.

    Raises:
        BadMessage: `not-json`, something is nested too deeply to find the members of that name.
    """
    if b'"%b"' % name.encode() in document or _ESCAPED_LETTER.search(document):
        body = _body_without(document.decode(), name).encode()
    else:
        body = document.rstrip(_SPACE_BYTES)[:-1].rstrip(_SPACE_BYTES)
    comma = b"" if body.endswith(b"{") else b","
    return b"%b%b%b:%b}" % (body, comma, orjson.dumps(name), value)


def _body_without(document: str, name: str) -> str:
    """Give an object's text up to its closing brace, without the members of that name."""
    position = _after_space(document, _after_space(document, 0) + 1)
    kept = [document[:position]]
    while document[position] != "}":
        start = position
        member, position = scanstring(document, position + 1)
        position = _after_space(document, _after_space(document, position) + 1)
        try:
            _, position = _DECODER.raw_decode(document, position)
        except RecursionError:
            raise BadMessage("not-json", "nested too deeply") from None
        position = _after_space(document, position)
        if document[position] == ",":
            position = _after_space(document, position + 1)
        if member != name:
            kept.append(document[start:position])
    return "".join(kept).rstrip(_SPACES).removesuffix(",")


def _after_space(document: str, position: int) -> int:
    match = _SPACE.match(document, position)
    assert match is not None
    return match.end()
