"""A message's parts -> its body: what its sender wrote to be read, plain where there is a plain version."""

from email.message import Message
from typing import Any, TypeAlias, cast

from consumer.mail import charsets, flowed, html
from consumer.visibility import visible

Part: TypeAlias = "Message[Any, Any]"

_READ = ("text/plain", "text/html")


def text_of(part: Part) -> str:
    """Give the text of a part and of those in it; of versions of the same the plain one, if it says anything.

    What is attached counts as nothing, and so does what is neither plain text nor HTML.
    """
    if not part.is_multipart():
        return _leaf(part) if _is_body(part) else ""
    texts = filter(visible, map(text_of, _plain_first(part)))
    if part.get_content_type() == "multipart/alternative":
        return next(texts, "")
    return "\n\n".join(texts)


def cannot_be_told_apart(part: Part) -> bool:
    """Whether a message, or a part of it, says that it has parts, and none are found."""
    return any(each.get_content_maintype() == "multipart" and not each.is_multipart() for each in part.walk())


def parameter(part: Part, name: str, header: str = "content-type") -> str | None:
    """Give a parameter of a header; a charset that it names for itself (RFC 2231) is not asked for."""
    value = part.get_param(name, None, header)
    return value[2] if isinstance(value, tuple) else value


def _plain_first(part: Part) -> list[Part]:
    parts = cast("list[Part]", part.get_payload())
    if part.get_content_type() != "multipart/alternative":
        return parts
    return sorted(parts, key=lambda version: version.get_content_type() != "text/plain")


def _is_body(part: Part) -> bool:
    attached = part.get_content_disposition() == "attachment"
    named = parameter(part, "filename", "content-disposition") is not None
    return part.get_content_type() in _READ and not attached and not named


def _leaf(part: Part) -> str:
    data = part.get_payload(decode=True)
    text = charsets.decode(data if isinstance(data, bytes) else b"", parameter(part, "charset"))
    if part.get_content_type() == "text/html":
        return html.text_of(text)
    if (parameter(part, "format") or "").lower() == "flowed":
        return flowed.unflowed(text, delete_space=(parameter(part, "delsp") or "").lower() == "yes")
    return text
