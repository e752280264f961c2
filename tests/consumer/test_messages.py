"""What is read from a record, and what is written for it."""

import json
from typing import Any

import pytest
from kafka.consumer.fetcher import ConsumerRecord

from consumer.errors import BadMessage
from consumer.messages import REASONS, Model, Outgoing, comment_of, dead_letter, labelled

NOW = 1_800_000_000_000
DAY = 86_400_000
MODEL = Model("stars", "0123456789ab", ("1", "2", "3", "4", "5"))
PROBABILITIES = [0.6, 0.2, 0.1, 0.06, 0.04]


def record(value: bytes | None, **fields: Any) -> ConsumerRecord:
    """A record as kafka-python reads it."""
    defaults = dict.fromkeys(ConsumerRecord._fields)
    given = {
        "topic": "comments",
        "partition": 3,
        "offset": 41,
        "timestamp": NOW - 5,
        "key": b"k",
        "headers": [],
    }
    return ConsumerRecord(**{**defaults, **given, **fields, "value": value})


def label(value: bytes, *, input_format: Any = "json", **fields: Any) -> Outgoing:
    """Label a record as urgent."""
    return labelled(
        record(value, **fields),
        document=comment_of(value, input_format, "text").document,
        topic="comments.high",
        urgency="high",
        label="1",
        probabilities=PROBABILITIES,
        model=MODEL,
        now=NOW,
        max_timestamp_age=DAY,
    )


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "null-value"),
        (b"\xff\xfe", "not-utf8"),
        (b'{"text": "caf\xe9"}', "not-utf8"),
        (b"late again", "not-json"),
        (b'{"text": "a", "n": NaN}', "not-json"),
        (b"[" * 100_000, "not-json"),
        (b'["late"]', "not-an-object"),
        (b'"late"', "not-an-object"),
        (b"{}", "text-missing"),
        (b'{"text": null}', "text-not-a-string"),
        (b'{"text": 5}', "text-not-a-string"),
        (b'{"text": " \\n\\t"}', "text-empty"),
    ],
)
def test_bad_value_has_its_reason(value: bytes | None, reason: str) -> None:
    """Each kind of value without a comment is refused with its own reason, one of the closed list."""
    with pytest.raises(BadMessage) as caught:
        comment_of(value, "json", "text")

    assert caught.value.reason == reason
    assert reason in REASONS


def test_text_format_takes_the_value_itself() -> None:
    """With input_format=text the value is the comment, and need not be JSON."""
    assert comment_of("zu spät".encode(), "text", "text").text == "zu spät"
    with pytest.raises(BadMessage, match="byte 3"):
        comment_of(b"caf\xe9", "text", "text")


def test_other_text_field() -> None:
    """The comment is read from the field that the setting names."""
    assert comment_of(b'{"text": 1, "body": "late"}', "json", "body").text == "late"


@pytest.mark.parametrize(
    ("shop", "split"),
    [
        ('"books"', "books"),
        ('" books"', " books"),
        ("7", "7"),
        ("1.5", None),
        ("true", None),
        ("null", None),
        ('["books"]', None),
    ],
)
def test_field_that_splits(shop: str, split: str | None) -> None:
    """A string or a whole number can split, as it stands; anything else is as if it were missing."""
    value = f'{{"text": "late", "shop": {shop}}}'.encode()
    assert comment_of(value, "json", "text", "shop").split == split
    assert comment_of(value, "json", "text").split is None
    assert comment_of(b'{"text": "late"}', "json", "text", "shop").split is None


def test_labelled_message_states_the_classification() -> None:
    """The labelled message adds urgency, label, confidence, probabilities and model, and three headers."""
    outgoing = label(b'{"text": "late"}')

    assert json.loads(outgoing.value) == {
        "text": "late",
        "classification": {
            "urgency": "high",
            "label": "1",
            "confidence": 0.6,
            "probabilities": {"1": 0.6, "2": 0.2, "3": 0.1, "4": 0.06, "5": 0.04},
            "model": {"name": "stars", "version": "0123456789ab"},
        },
    }
    assert outgoing.headers == [("urgency", b"high"), ("label", b"1"), ("model-version", b"0123456789ab")]


def test_text_format_wraps_the_comment() -> None:
    """With input_format=text the labelled message is the text and its classification."""
    for text in ("late again", "classification", r"\u0061 \" late"):
        labelled = json.loads(label(text.encode(), input_format="text").value)
        assert list(labelled) == ["text", "classification"]
        assert labelled["text"] == text


def test_users_bytes_stay_as_they_are() -> None:
    """Numbers no float holds, repeated names, order and spacing of the user's fields come out unchanged."""
    theirs = b'{ "id": 12345678901234567890123, "a": 1.10,"a":\t2e0, "text": "late", "z": [ ] '

    assert label(theirs + b"} \n").value.startswith(theirs.rstrip() + b',"classification":')


def test_key_headers_and_timestamp_stay() -> None:
    """Key, headers (repeated ones too) and timestamp of the record come out, ours after them."""
    theirs = [("trace", b"1"), ("trace", b"2"), ("urgency", b"theirs")]

    outgoing = label(b'{"text": "late"}', headers=theirs, key=b"customer-7")

    assert (outgoing.key, outgoing.timestamp) == (b"customer-7", NOW - 5)
    assert outgoing.headers[:3] == theirs
    assert dict(outgoing.headers)["urgency"] == b"high"


def test_earlier_classification_is_replaced() -> None:
    """A message that comes round again holds one classification, the new one, and its other bytes."""
    value = b'{"classification": {"label": "5", "x": [1, {"y": 2}]}, "n": 1.10, "text": "classification" }'

    outgoing = label(value)

    assert outgoing.value.startswith(
        b'{"n": 1.10, "text": "classification","classification":{"urgency":"high"'
    )
    assert outgoing.value.count(b'"classification":') == 1


def test_old_timestamp_is_replaced_and_kept() -> None:
    """A timestamp older than the limit becomes the time of publication and moves to a header."""
    old = NOW - DAY - 1

    outgoing = label(b'{"text": "late"}', timestamp=old)

    assert outgoing.timestamp == NOW
    assert dict(outgoing.headers)["original-timestamp"] == str(old).encode()


def test_timestamp_at_the_limit_stays() -> None:
    """A timestamp exactly as old as the limit is left alone."""
    assert label(b'{"text": "late"}', timestamp=NOW - DAY).timestamp == NOW - DAY


def test_dead_letter_keeps_the_original() -> None:
    """A dead letter has the record's own key, value, headers and timestamp, and says why and from where."""
    outgoing = dead_letter(
        record(b"\xff", headers=[("trace", b"1")]),
        topic="comments.dead-letter",
        reason="not-utf8",
        message="byte 0: invalid start byte",
        now=NOW,
        max_timestamp_age=DAY,
    )

    assert (outgoing.topic, outgoing.key, outgoing.value, outgoing.timestamp) == (
        "comments.dead-letter",
        b"k",
        b"\xff",
        NOW - 5,
    )
    assert outgoing.headers == [
        ("trace", b"1"),
        ("error.reason", b"not-utf8"),
        ("error.message", b"byte 0: invalid start byte"),
        ("error.topic", b"comments"),
        ("error.partition", b"3"),
        ("error.offset", b"41"),
    ]
