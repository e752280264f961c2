"""Bytes <-> comment: what comes in, and the labelled and dead-letter records that go out."""

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any, Final, Literal

import numpy as np
import orjson
from numpy.typing import NDArray

from consumer.errors import BadMessage

InputFormat = Literal["json", "text"]
Header = tuple[str, bytes]

REASONS: Final = {
    "null-value": "the record has no value (a tombstone)",
    "not-utf8": "the value is not UTF-8",
    "not-json": "the value is not valid JSON",
    "not-an-object": "the value is JSON, but not an object",
    "text-missing": "the object lacks the text field",
    "text-not-a-string": "the text field is not a string",
    "text-empty": "the text holds nothing but white space",
    "too-large": "the labelled message would exceed max_message_bytes",
    "refused-by-kafka": "Kafka refused the labelled message, for its size or its timestamp for instance",
    "unclassifiable": "the model fails at this text, and at no other",
}


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to publish.

    `timestamp` is in milliseconds since 1970, None for the time of publication. `urgency` and `label` are
    None, and `reason` is set, for a dead letter.
    """

    topic: str
    key: bytes | None
    value: bytes
    headers: list[Header]
    timestamp: int | None
    urgency: str | None = None
    label: str | None = None
    reason: str | None = None

    @property
    def size(self) -> int:
        """Bytes that the record takes, framing aside."""
        headers = sum(len(name) + len(value) for name, value in self.headers)
        return len(self.key or b"") + len(self.value) + headers


@dataclass(frozen=True, slots=True)
class Model:
    """What a labelled message says of the model that labelled it."""

    name: str
    version: str
    labels: tuple[str, ...]


def now() -> int:
    """The time, milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def text_of(value: bytes | None, input_format: InputFormat, text_field: str) -> str:
    """Find the comment in a record's value.

    Raises:
        BadMessage: there is none, with one of REASONS.
    """
    if value is None:
        raise BadMessage("null-value", REASONS["null-value"])
    text = _decoded(value) if input_format == "text" else _field(value, text_field)
    if not text.strip():
        raise BadMessage("text-empty", REASONS["text-empty"])
    return text


def _decoded(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise BadMessage("not-utf8", f"byte {error.start}: {error.reason}") from None


def _field(value: bytes, name: str) -> str:
    try:
        document = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        _decoded(value)
        raise BadMessage("not-json", f"{error.msg} at character {error.pos}") from None
    if not isinstance(document, dict):
        raise BadMessage("not-an-object", f"the value is a JSON {_json_type(document)}")
    if name not in document:
        raise BadMessage("text-missing", f"the object has no field {name!r}")
    text = document[name]
    if not isinstance(text, str):
        raise BadMessage("text-not-a-string", f"the field {name!r} is a JSON {_json_type(text)}")
    return text


def _json_type(value: object) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")


def labelled(
    record: Any,
    *,
    topic: str,
    urgency: str,
    probabilities: NDArray[np.float32],
    model: Model,
    input_format: InputFormat,
    now: int,
    max_timestamp_age: int,
) -> Outgoing:
    """Make the labelled message of a record.

    Args:
        record: the `kafka.consumer.fetcher.ConsumerRecord` read.
        topic: where the message goes.
        urgency: the routing's choice.
        probabilities: [labels], in the order of the model's labels.
        model: the model that gave them.
        input_format: how the record's value holds the comment.
        now: the time, milliseconds since 1970.
        max_timestamp_age: older timestamps are replaced, milliseconds.
    """
    label = model.labels[int(probabilities.argmax())]
    by_label = {name: round(float(p), 6) for name, p in zip(model.labels, probabilities, strict=True)}
    classification = {
        "urgency": urgency,
        "label": label,
        "confidence": by_label[label],
        "probabilities": by_label,
        "model": {"name": model.name, "version": model.version},
    }
    ours = [
        ("urgency", urgency.encode()),
        ("label", label.encode()),
        ("model-version", model.version.encode()),
    ]
    timestamp, dated = _timestamp(record.timestamp, now, max_timestamp_age)
    if input_format == "text":
        value = orjson.dumps({"text": record.value.decode(), "classification": classification})
    else:
        value = _with_member(record.value, "classification", orjson.dumps(classification))
    return Outgoing(
        topic=topic,
        key=record.key,
        value=value,
        headers=[*_headers(record), *dated, *ours],
        timestamp=timestamp,
        urgency=urgency,
        label=label,
    )


def dead_letter(
    record: Any, *, topic: str, reason: str, message: str, now: int, max_timestamp_age: int
) -> Outgoing:
    """Make the dead letter of a record: its own bytes, and why it could not be labelled.

    A record without a value becomes one with an empty value: kafka-python sends no record that has neither a
    key nor a value, and `error.reason` tells the two apart.

    Args:
        record: the `kafka.consumer.fetcher.ConsumerRecord` read.
        topic: the dead-letter topic.
        reason: one of REASONS.
        message: the same in words, without the comment's text.
        now: the time, milliseconds since 1970.
        max_timestamp_age: older timestamps are replaced, milliseconds.
    """
    timestamp, dated = _timestamp(record.timestamp, now, max_timestamp_age)
    ours = [
        ("error.reason", reason.encode()),
        ("error.message", message.encode()),
        ("error.topic", record.topic.encode()),
        ("error.partition", str(record.partition).encode()),
        ("error.offset", str(record.offset).encode()),
    ]
    return Outgoing(
        topic=topic,
        key=record.key,
        value=record.value or b"",
        headers=[*_headers(record), *dated, *ours],
        timestamp=timestamp,
        reason=reason,
    )


def _headers(record: Any) -> list[Header]:
    # A header may have no value, which kafka-python reads and refuses to send.
    return [(key, value or b"") for key, value in record.headers or ()]


def _timestamp(timestamp: int, now: int, max_age: int) -> tuple[int | None, Sequence[Header]]:
    if timestamp < 0:
        return None, ()
    if now - timestamp > max_age:
        return now, [("original-timestamp", str(timestamp).encode())]
    return timestamp, ()


def _with_member(document: bytes, name: str, value: bytes) -> bytes:
    """Add a member to a JSON object without touching a byte of the others.

    Parsing and writing it again would change numbers that fit no float, and drop repeated names.
    """
    if b'"%b"' % name.encode() in document:
        document = _without_member(document.decode(), name).encode()
    body = document.rstrip(_SPACE_BYTES)[:-1].rstrip(_SPACE_BYTES)
    comma = b"" if body.endswith(b"{") else b","
    return b"%b%b%b:%b}" % (body, comma, orjson.dumps(name), value)


_SPACE_BYTES = b" \t\r\n"
_SPACE = re.compile(r"[ \t\r\n]*")
# Numbers stay text, so that any number of digits passes.
_SKIP = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)


def _without_member(document: str, name: str) -> str:
    """Cut every top-level member of that name out of a valid JSON object."""

    def after_space(position: int) -> int:
        match = _SPACE.match(document, position)
        assert match is not None
        return match.end()

    kept = []
    position = after_space(after_space(0) + 1)
    while document[position] != "}":
        start = position
        member, position = scanstring(document, position + 1)
        try:
            _, position = _SKIP.raw_decode(document, after_space(after_space(position) + 1))
        except RecursionError:
            raise BadMessage("not-json", f"the field {member!r} is nested too deeply") from None
        if member != name:
            kept.append(document[start:position])
        position = after_space(position)
        if document[position] == ",":
            position = after_space(position + 1)
    return "{" + ",".join(kept) + "}"
