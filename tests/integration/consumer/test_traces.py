"""Traces that go on through the consumer."""

import json
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from kafka.consumer.fetcher import ConsumerRecord
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from consumer.traces import Traces
from tests.conftest import comments
from tests.consumer.test_traces import MALFORMED
from tests.integration.conftest import Kafka, Message
from tests.integration.consumer.conftest import Consumer
from tests.integration.consumer.test_delivery import assert_each_once, committed, numbered
from tests.integration.consumer.test_pipeline import (
    Loop,
    Publish,
    after_it_committed,
    before_it_began,
    fail,
)
from tests.integration.consumer.test_refused_records import make_topics
from tests.integration.consumer.test_workers import has_two
from tests.otlp import Receiver, receiving

Start = Callable[..., Consumer]


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver that every consumer of the test exports to."""
    with receiving() as receiver:
        for name, value in receiver.variables.items():
            monkeypatch.setenv(name, value)
        yield receiver


def traced(count: int, *, start: int = 0, flags: str = "01") -> list[Message]:
    """Numbered comments, each of a trace of its own, which its number tells."""
    return [
        Message(
            message.value,
            message.key,
            [
                ("before", b"1"),
                ("traceparent", f"00-{number + 1:032x}-{'b' * 16}-{flags}".encode()),
                ("x", b""),
            ],
        )
        for number, message in enumerate(numbered(count, start=start), start)
    ]


def traces_of(records: list[ConsumerRecord]) -> dict[str, str]:
    """Per trace, the span that a published message carries on; both in hexadecimal."""
    carried = [dict(record.headers)["traceparent"].decode().split("-") for record in records]
    assert all(version == "00" for version, *_ in carried)
    return {trace: span for _, trace, span, _ in carried}


def received(receiver: Receiver) -> dict[str, str]:
    """Per trace, the one span that came in."""
    spans = [(one.span.trace_id.hex(), one.span.span_id.hex()) for one in receiver.spans()]
    assert len(dict(spans)) == len(spans), "a message has two spans"
    return dict(spans)


def test_each_message_has_one_span(
    kafka: Kafka, prefix: str, start: Start, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the end the receiver has a span for each message with a trace, and the message carries it on."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "600000")
    kafka.create_topics(f"{prefix}comments", partitions=2)
    bad = Message(b"no comment", headers=traced(1, start=300)[0].headers)
    sent_from = time.time_ns()
    kafka.produce(f"{prefix}comments", [*traced(300), bad, *numbered(20, start=400)])

    consumer = start("--exit-at-end", "--traces")
    assert consumer.wait() == 0

    records = kafka.read(*consumer.outputs, count=321)
    with_trace = [record for record in records if "traceparent" in dict(record.headers)]
    assert (len(records), len(with_trace)) == (321, 301)
    assert received(receiver) == traces_of(with_trace)
    assert all([name for name, _ in r.headers][:3] == ["before", "traceparent", "x"] for r in with_trace)
    published = {
        (int(classification["id"]), record.topic): classification
        for record in with_trace
        if (classification := _said(record))
    }
    for one in receiver.spans():
        number = int(one.span.trace_id.hex(), 16) - 1
        topic = one.attributes["urgency_router.topic"]
        assert one.span.parent_span_id.hex() == "b" * 16
        assert sent_from < one.span.start_time_unix_nano < one.span.end_time_unix_nano < time.time_ns()
        assert one.resource["service.name"] == "urgency-router"
        assert one.attributes["messaging.consumer.group.name"] == f"{prefix}group"
        if number == 300:
            assert one.attributes["error.type"] == "not-json"
        else:
            said = published[number, str(topic)]
            assert one.attributes["urgency_router.label"] == said["label"]
            assert one.attributes["urgency_router.model.version"] == said["model"]["version"]


def _said(record: ConsumerRecord) -> dict[str, object]:
    try:
        value = json.loads(record.value)
    except ValueError:
        return {}
    return {**value["classification"], "id": value["number"]}


def test_headers_pass_unchanged_without_it(
    kafka: Kafka, prefix: str, start: Start, receiver: Receiver
) -> None:
    """Without --traces a traceparent is a header like any other, and nothing is exported."""
    kafka.create_topics(f"{prefix}comments")
    sent = traced(3)
    kafka.produce(f"{prefix}comments", sent)

    consumer = start("--exit-at-end")
    assert consumer.wait() == 0

    records = kafka.read(*consumer.outputs, count=3)
    assert sorted(record.headers[1] for record in records) == sorted(message.headers[1] for message in sent)
    assert not receiver.requests


def test_no_header_stops_the_stream(kafka: Kafka, prefix: str, start: Start, receiver: Receiver) -> None:
    """Malformed traceparents come out as they came in, between others whose traces go on."""
    kafka.create_topics(f"{prefix}comments")
    malformed = [brought for brought in MALFORMED.values() if len(brought or b"") < 1000]
    texts = comments(len(malformed))
    bad = [
        Message(json.dumps({"text": text}).encode(), headers=[("traceparent", brought or b"")])
        for text, brought in zip(texts, malformed, strict=True)
    ]
    kafka.produce(f"{prefix}comments", [*bad, *traced(5)])

    consumer = start("--exit-at-end", "--traces", "--log-level", "debug")
    assert consumer.wait() == 0

    records = kafka.read(*consumer.outputs, count=len(bad) + 5)
    came_out = Counter(dict(record.headers)["traceparent"] for record in records if len(record.headers) == 4)
    assert came_out == Counter(message.headers[0][1] for message in bad)
    assert set(received(receiver)) == {f"{number:032x}" for number in range(1, 6)}
    assert not [line for line in consumer.raw_log() if "late again" in line or "aaaa" in line]


def test_what_is_not_sampled_is_not_exported(
    kafka: Kafka, prefix: str, start: Start, receiver: Receiver
) -> None:
    """A trace that its beginning did not sample is carried on unsampled."""
    kafka.create_topics(f"{prefix}comments")
    kafka.produce(f"{prefix}comments", traced(5, flags="00"))

    consumer = start("--exit-at-end", "--traces")
    assert consumer.wait() == 0

    records = kafka.read(*consumer.outputs, count=5)
    assert all(dict(record.headers)["traceparent"].endswith(b"-00") for record in records)
    assert not receiver.requests


def test_dead_letter_of_a_refused_message_carries_its_span(
    kafka: Kafka, prefix: str, start: Start, receiver: Receiver
) -> None:
    """When Kafka refuses the labelled message, the span tells of the dead letter, which carries it."""
    make_topics(kafka, prefix, routed={"max.message.bytes": "10000"}, dead_letters={})
    [large] = traced(1)
    value = json.dumps({"number": 0, "text": "late", "more": "x" * 20_000}).encode()
    kafka.produce(f"{prefix}comments", [Message(value, headers=large.headers)])

    consumer = start("--exit-at-end", "--traces")
    assert consumer.wait() == 0

    [letter] = kafka.read(*consumer.outputs, count=1)
    [one] = receiver.spans()
    assert traces_of([letter]) == received(receiver)
    assert one.attributes["error.type"] == "refused-by-kafka"
    assert one.attributes["urgency_router.topic"] == letter.topic == f"{prefix}dead-letter"


@pytest.mark.parametrize("fault", [before_it_began, after_it_committed])
def test_failed_transaction_leaves_no_span(
    kafka: Kafka, prefix: str, tiny_bundle: Path, fault: Callable[[Publish], Publish]
) -> None:
    """What is read again gets a span then, and only then: none has two, and each is that of its message."""
    loop = Loop(kafka, prefix, tiny_bundle)
    kafka.create_topics(f"{prefix}comments")
    kafka.create_topics(*loop.outputs)
    kafka.produce(f"{prefix}comments", traced(60))
    exporter = InMemorySpanExporter()
    loop.traces = Traces(exporter, group_id="g", queue=2048, metrics=loop.metrics)
    fail(loop.producer, 2, fault)

    loop.run()
    loop.traces.close()

    records = kafka.read(*loop.outputs, count=60)
    assert_each_once(records, 60)
    spans = [
        (f"{s.context.trace_id:032x}", f"{s.context.span_id:016x}") for s in exporter.get_finished_spans()
    ]
    assert len(spans) == len(dict(spans))
    assert dict(spans).items() <= traces_of(records).items()
    # Whether it had committed nobody knew, so of what had, the spans are missing.
    missing = len(records) - len(spans)
    assert missing == 0 if fault is before_it_began else 0 < missing <= 10


def test_two_workers_export_as_two(kafka: Kafka, prefix: str, start: Start, receiver: Receiver) -> None:
    """Each worker's spans come from an instance of its own; together each message has one."""
    kafka.create_topics(f"{prefix}comments", partitions=4)
    consumer = start("--workers", "2", "--traces")
    consumer.wait_ready()
    for worker in ("worker-0", "worker-1"):
        consumer.wait_until(partial(has_two, consumer, worker), f"sharing with {worker}")
    kafka.produce(f"{prefix}comments", traced(1000))
    records = kafka.read(*consumer.outputs, count=1000)

    consumer.wait_until(
        lambda: consumer.metric("urgency_router_spans_total", outcome="exported") == 1000, "through"
    )
    assert consumer.stop() == 0

    assert received(receiver) == traces_of(records)
    assert len({one.resource["service.instance.id"] for one in receiver.spans()}) == 2


def lines_with(consumer: Consumer, words: str) -> list[str]:
    """The log's lines that hold these words."""
    return [line for line in consumer.log_lines() if words in line]


def test_receiver_that_is_away_stops_nothing(
    kafka: Kafka, prefix: str, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nobody listening comments come out all the same, one line says why, and SIGTERM ends in time."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    kafka.create_topics(f"{prefix}comments")
    consumer = start("--traces", "--max-batch-messages", "20")
    consumer.wait_ready()
    kafka.produce(f"{prefix}comments", traced(1000))
    assert_each_once(kafka.read(*consumer.outputs, count=1000), 1000)
    consumer.wait_until(
        lambda: consumer.metric("urgency_router_spans_total", outcome="failed") >= 1000, "failing twice"
    )
    kafka.produce(f"{prefix}comments", traced(10, start=1000))
    assert_each_once(kafka.read(*consumer.outputs, count=1010), 1010)

    asked = time.monotonic()
    assert consumer.stop() == 0

    assert time.monotonic() - asked < 20
    [lost] = lines_with(consumer, "spans are lost, and nothing else")
    assert "Connection refused" in lost
    assert "Traceback" not in "\n".join(consumer.raw_log())


def test_receiver_that_comes_back_is_used_again(
    kafka: Kafka, prefix: str, start: Start, receiver: Receiver
) -> None:
    """While it refuses, spans are lost; once it takes them again, so says the log."""
    kafka.create_topics(f"{prefix}comments")
    receiver.answer = 401
    consumer = start("--traces")
    consumer.wait_ready()
    kafka.produce(f"{prefix}comments", traced(5))
    consumer.wait_until(lambda: bool(lines_with(consumer, "spans are lost")), "refused")
    receiver.answer = 200
    kafka.produce(f"{prefix}comments", traced(5, start=5))
    consumer.wait_until(lambda: bool(lines_with(consumer, "spans are exported again")), "taken")

    assert "401" in lines_with(consumer, "spans are lost")[0]
    assert consumer.stop() == 0
    assert received(receiver).keys() <= traces_of(kafka.read(*consumer.outputs, count=10)).keys()


def test_receiver_that_never_answers_holds_up_nothing(
    kafka: Kafka, prefix: str, start: Start, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Comments come out and their offsets commit while an export hangs; the end waits seconds at most."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "300")
    receiver.open.clear()
    kafka.create_topics(f"{prefix}comments")
    consumer = start("--traces")
    consumer.wait_ready()
    kafka.produce(f"{prefix}comments", traced(3000))

    assert_each_once(kafka.read(*consumer.outputs, count=3000), 3000)
    consumer.wait_until(lambda: committed(kafka, prefix) == 3000, "through")
    asked = time.monotonic()
    assert consumer.stop() == 0

    assert time.monotonic() - asked < 20
    assert lines_with(consumer, "3000 spans were not exported within 5 seconds: no answer")
