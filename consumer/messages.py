"""Bytes <-> comment: what comes in, and the labelled and dead-letter records that go out."""

import base64
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import orjson

from consumer import json_object
from consumer.errors import BadMessage
from consumer.record_batch import Unreadable
from consumer.visibility import visible

InputFormat = Literal["json", "text", "email"]
Header = tuple[str, bytes]

# The member that a labelled message has more.
CLASSIFICATION: Final = "classification"
# Small enough for any topic that is meant to hold messages, and enough to see what kind it was.
SHORTENED_BYTES: Final = 4096

# Kafka's number for a record that has none; others below 0 are times before 1970.
NO_TIMESTAMP: Final = -1

REASONS: Final = {
    "null-value": "the record has no value (a tombstone)",
    "not-utf8": "the value is not UTF-8",
    "not-json": "the value is not valid JSON, or nested too deeply",
    "not-an-object": "the value is JSON, but not an object",
    "text-missing": "the object lacks the text field",
    "text-not-a-string": "the text field is not a string",
    "text-empty": "the text holds nothing to be seen, but white space or control characters",
    "not-email": "the value does not begin with the header of an e-mail",
    "broken-mime": "the e-mail's parts cannot be told apart, or are too many, or too deep in each other",
    "no-text": "the e-mail has no subject, and no text in its body; it may have attachments",
    "too-large": "the message, or the labelled message, would exceed max_message_bytes",
    "refused-by-kafka": "Kafka refused the labelled message, for its size or its timestamp for instance",
    "unclassifiable": "the model fails at this text, and at no other",
    "unreadable": "a batch that Kafka took cannot be unpacked; the value is the batch, the offset its last",
}


class Comment(NamedTuple):
    """What is read of a message.

    text: what is classified
    document: the JSON object that the labelled message adds the classification to
    split: the field that splits the topics, None if it has none
    """

    text: str
    document: bytes
    split: str | None = None


class Outgoing(NamedTuple):
    """A record to publish.

    `timestamp` is in milliseconds since 1970, None for the time of publication. `urgency`, `label` and
    `model_version` are None, and `reason` is set, for a dead letter; `shortened` tells that it lacks a part
    of the message. `expected` is the probability of each urgency, [urgencies], for the metrics alone.
    """

    topic: str
    key: bytes | None
    value: bytes
    headers: list[Header]
    timestamp: int | None
    urgency: str | None = None
    label: str | None = None
    reason: str | None = None
    shortened: bool = False
    expected: Sequence[float] = ()
    model_version: str | None = None

    @property
    def size(self) -> int:
        """Bytes that the record takes, framing aside."""
        return size(self)


@dataclass(frozen=True, slots=True)
class Model:
    """What a labelled message says of the model that labelled it."""

    name: str
    version: str
    labels: tuple[str, ...]


def size(record: Any) -> int:
    """Count the bytes of a record read, or to be published, framing aside."""
    total = len(record.key or b"") + len(record.value or b"")
    for name, value in record.headers or ():
        total += len(name.encode()) + len(value or b"")
    return total


def now() -> int:
    """The time, milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def comment_of(
    value: bytes | None,
    input_format: InputFormat,
    text_field: str,
    split_by: str = "",
    *,
    include_original: bool = False,
) -> Comment:
    """Find the comment in a record's value.

    Args:
        value: the record's.
        input_format: how it holds the comment.
        text_field: the field of a JSON object that holds the text.
        split_by: the field that splits the topics, which counts if it is a string or a whole number.
        include_original: put an e-mail's bytes into the document too.

    Returns:
        The text, with U+FFFD in place of half a surrogate pair, which JSON can hold and UTF-8 cannot.

    Raises:
        BadMessage: there is none, with one of REASONS.
    """
    if value is None:
        raise BadMessage("null-value", REASONS["null-value"])
    if isinstance(value, Unreadable):
        raise BadMessage("unreadable", REASONS["unreadable"])
    if input_format == "email":
        return _of_email(value, include_original)
    if input_format == "text":
        text, split = _decoded(value), None
    else:
        fields = _object(value)
        text, split = _text(fields, text_field), _split(fields.get(split_by))
    if not visible(text):
        raise BadMessage("text-empty", REASONS["text-empty"])
    document = orjson.dumps({"text": text}) if input_format == "text" else value
    return Comment(json_object.readable(text), document, split)


def _of_email(value: bytes, include_original: bool) -> Comment:
    # What it needs is installed only where somebody reads e-mails.
    from consumer.mail import message

    email = message.read(value)
    document = {
        "message_id": email.message_id,
        "from": email.sender,
        "subject": email.subject,
        "text": email.text,
    }
    if include_original:
        document["original"] = base64.b64encode(value).decode()
    return Comment(email.text, orjson.dumps(document))


def _decoded(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise BadMessage("not-utf8", f"byte {error.start}: {error.reason}") from None


def _object(value: bytes) -> dict[str, Any]:
    document = json_object.parse(value)
    if not isinstance(document, dict):
        raise BadMessage("not-an-object", f"the value is a JSON {_json_type(document)}")
    return document


def _text(document: dict[str, Any], name: str) -> str:
    if name not in document:
        raise BadMessage("text-missing", f"the object has no field {name!r}")
    text = document[name]
    if not isinstance(text, str):
        raise BadMessage("text-not-a-string", f"the field {name!r} is a JSON {_json_type(text)}")
    return text


def _split(value: object) -> str | None:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None


def _json_type(value: object) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")


def labelled(
    record: Any,
    *,
    document: bytes,
    topic: str,
    urgency: str,
    label: str,
    probabilities: Sequence[float],
    model: Model,
    now: int,
    max_timestamp_age: int,
) -> Outgoing:
    """Make the labelled message of a record.

    Args:
        record: the `kafka.consumer.fetcher.ConsumerRecord` read.
        document: the comment's, a JSON object.
        topic: where the message goes.
        urgency: the routing's choice.
        label: the most probable one.
        probabilities: [labels], in the order of the model's labels, as they are to be read.
        model: the model that gave them.
        now: the time, milliseconds since 1970.
        max_timestamp_age: older timestamps are replaced, milliseconds.
    """
    by_label = dict(zip(model.labels, probabilities, strict=True))
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
    return Outgoing(
        topic=topic,
        key=record.key,
        value=json_object.with_member(document, CLASSIFICATION, orjson.dumps(classification)),
        headers=[*_headers(record), *dated, *ours],
        timestamp=timestamp,
        urgency=urgency,
        label=label,
        model_version=model.version,
    )


_ERROR_HEADERS: Final = ("error.reason", "error.message", "error.topic", "error.partition", "error.offset")


def dead_letter(
    record: Any, *, topic: str, reason: str, message: str, now: int, max_timestamp_age: int | None
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
        max_timestamp_age: older timestamps are replaced, milliseconds; None replaces any.
    """
    timestamp, dated = _timestamp(record.timestamp, now, max_timestamp_age)
    said = (reason, message, record.topic, str(record.partition), str(record.offset))
    ours = [(name, value.encode()) for name, value in zip(_ERROR_HEADERS, said, strict=True)]
    return Outgoing(
        topic=topic,
        key=record.key,
        value=bytes(record.value or b""),
        headers=[*_headers(record), *dated, *ours],
        timestamp=timestamp,
        reason=reason,
    )


def shortened(letter: Outgoing, record: Any, *, now: int) -> Outgoing:
    """Make a dead letter that Kafka takes where it refused the whole one, for its size or its timestamp.

    Key and value are cut to SHORTENED_BYTES each, the message's own headers are left out, the timestamp is
    that of publication, and the header `error.shortened-from` says how large key, value and headers were.
    The whole message is in the input topic for as long as that keeps it.

    Args:
        letter: the dead letter refused.
        record: the `kafka.consumer.fetcher.ConsumerRecord` that it is of.
        now: the time, milliseconds since 1970.
    """
    timestamp, dated = _timestamp(record.timestamp, now, None)
    ours = letter.headers[-len(_ERROR_HEADERS) :]
    return letter._replace(
        key=None if letter.key is None else letter.key[:SHORTENED_BYTES],
        value=letter.value[:SHORTENED_BYTES],
        headers=[*dated, *ours, ("error.shortened-from", str(letter.size).encode())],
        timestamp=timestamp,
        shortened=True,
    )


def _headers(record: Any) -> list[Header]:
    # A header may have no value, which kafka-python reads and refuses to send.
    return [(key, value or b"") for key, value in record.headers or ()]


def _timestamp(timestamp: int, now: int, max_age: int | None) -> tuple[int | None, Sequence[Header]]:
    if timestamp == NO_TIMESTAMP:
        return None, ()
    if max_age is None or now - timestamp > max_age:
        return now, [("original-timestamp", str(timestamp).encode())]
    return timestamp, ()
