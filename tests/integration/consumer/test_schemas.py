"""What a real consumer publishes is what the AsyncAPI document's schemas say."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from kafka.consumer.fetcher import ConsumerRecord
from kafka.record import default_records

from consumer import json_object
from consumer.messages import REASONS, now
from tests import asyncapi, faults
from tests.integration.conftest import Kafka, Message
from tests.integration.consumer.conftest import URGENCIES, Consumer
from tests.integration.consumer.test_bad_input import Sent, corpus, of_text, produce
from tests.integration.consumer.test_refused_records import make_topics

Start = Callable[..., Consumer]
HOUR = 3_600_000
OLD = 1_400_000_000_000
# Those have a test of their own.
OF_EMAILS = {"not-email", "broken-mime", "no-text"}


def problems(record: ConsumerRecord, dead_letters: str) -> list[str]:
    """What the schemas say is wrong with a record that the consumer has published."""
    headers = asyncapi.headers_of(record.headers)
    if record.topic == dead_letters:
        return asyncapi.problems("dead-letter-headers", headers)
    value = json_object.parse(record.value)
    return asyncapi.problems("labelled-headers", headers) + asyncapi.problems("labelled", value)


def produce_unreadable(kafka: Kafka, topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send a batch that the broker takes and nobody can unpack."""
    gzip = default_records.gzip_encode
    with monkeypatch.context() as patch:
        patch.setattr(default_records, "gzip_encode", lambda records: gzip(records) + b"no gzip")
        produce(kafka, topic, [of_text("late " * 1000)], "gzip")


def test_all_that_comes_out_is_as_documented(
    kafka: Kafka,
    prefix: str,
    start: Start,
    tiny_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Labelled, split, old, dead for every reason that JSON has, shortened: each record fits its schemas."""
    make_topics(
        kafka,
        prefix,
        routed={"message.timestamp.before.max.ms": f"{HOUR // 2}"},
        dead_letters={"max.message.bytes": "500000"},
    )
    sent = [
        *corpus().values(),
        of_text(faults.FATAL),
        Sent(b'{"text": "refused"}', b"key", [], now() - HOUR),
        Sent(b'{"text": "old", "shop": "books"}', b"key", [], OLD),
    ]
    produce(kafka, f"{prefix}comments", sent)
    produce_unreadable(kafka, f"{prefix}comments", monkeypatch)

    bundle = faults.with_a_word_it_fails_at(tiny_bundle, tmp_path / "bundle")
    split = ("--split-by", "shop", "--split-values", "books")
    consumer = start("--exit-at-end", *split, bundle=bundle)
    assert consumer.wait() == 0, consumer.log_lines()

    teams = [f"{prefix}{urgency}.books" for urgency in URGENCIES]
    came = kafka.read(*consumer.outputs, *teams, count=len(sent) + 1)
    assert len(came) == len(sent) + 1
    assert [problem for record in came for problem in problems(record, f"{prefix}dead-letter")] == []
    found = [(record.topic, asyncapi.headers_of(record.headers)) for record in came]
    letters = [headers for topic, headers in found if topic == f"{prefix}dead-letter"]
    assert {headers["error.reason"] for headers in letters} == {*REASONS} - OF_EMAILS
    assert any("error.shortened-from" in headers for headers in letters)
    assert [headers.get("original-timestamp") for topic, headers in found if topic in teams] == [f"{OLD}"]


def test_corrected_text_is_as_documented(kafka: Kafka, prefix: str, start: Start) -> None:
    """A comment that came as bare text fits its schema once labelled, and that of a correction then."""
    kafka.create_topics(f"{prefix}comments")
    kafka.produce(f"{prefix}comments", [Message("zu spät, \U0001f600".encode()), Message(b"\xff")])

    consumer = start("--exit-at-end", "--input-format", "text")
    assert consumer.wait() == 0, consumer.log_lines()

    came = kafka.read(*consumer.outputs, count=2)
    assert len(came) == 2
    assert [problem for record in came for problem in problems(record, f"{prefix}dead-letter")] == []
    [good] = [record for record in came if record.topic != f"{prefix}dead-letter"]
    correction = json.loads(good.value) | {"correct_label": "1"}
    assert asyncapi.problems("correction", correction) == []
