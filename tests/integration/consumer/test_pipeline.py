"""What the loop does when a transaction fails: faults injected into a real producer, everything else real."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kafka.errors import TopicAuthorizationFailedError
from kafka.structs import ConsumerGroupMetadata, TopicPartition

from consumer import bundle, clients, settings
from consumer.batching import BatchBound
from consumer.classifier import Classifier
from consumer.errors import Rebalanced, TransactionFailed
from consumer.health import Health
from consumer.labeller import Labeller
from consumer.messages import Model, Outgoing
from consumer.metrics import Metrics
from consumer.offsets import Offsets
from consumer.pipeline import Pipeline
from consumer.routing import Routing
from consumer.traces import Traces
from consumer.transactions import TransactionalProducer
from tests.conftest import comments
from tests.integration.conftest import Kafka, Message
from tests.integration.consumer.conftest import URGENCIES

Publish = Callable[[Sequence[Outgoing], Mapping[TopicPartition, int], ConsumerGroupMetadata], float]


class Loop:
    """The loop in this process, with batches of ten, on this test's topics."""

    def __init__(self, kafka: Kafka, prefix: str, tiny_bundle: Path) -> None:
        arguments = ["--bundle", str(tiny_bundle), "--bootstrap-servers", kafka.bootstrap_servers]
        arguments += ["--group-id", f"{prefix}group", "--input-topic", f"{prefix}comments"]
        arguments += ["--output-prefix", prefix, "--max-batch-messages", "10"]
        self.settings = settings.parse(arguments)
        self.outputs = [f"{prefix}{name}" for name in (*URGENCIES, "dead-letter")]
        self.metrics = Metrics()
        self.traces: Traces | None = None
        self.producer = clients.producer(self.settings)

    def run(self) -> None:
        """Run it until it has caught up."""
        with self.pipeline() as pipeline:
            pipeline.run(threading.Event(), exit_at_end=True)

    @contextmanager
    def pipeline(self) -> Iterator[Pipeline]:
        """The loop, connected and not running."""
        model = bundle.read(self.settings.bundle)
        manifest = model.manifest
        classifier = Classifier(model, device="cpu", threads=1)
        self.producer.connect()
        self.consumer = consumer = clients.consumer(self.settings)
        try:
            yield Pipeline(
                consumer=consumer,
                offsets=Offsets(
                    consumer,
                    self.settings.input_topic,
                    self.settings.auto_offset_reset,
                    self.metrics,
                    self.producer.topic_id,
                ),
                producer=self.producer,
                labeller=Labeller(
                    self.settings,
                    classifier,
                    Routing.build(manifest.labels, self.settings.routes, self.settings.weights),
                    Model(manifest.name, manifest.version, manifest.labels),
                ),
                bound=BatchBound(max_seconds=1.0, max_comments=10, rate=1000.0),
                metrics=self.metrics,
                health=Health(self.metrics, 300.0),
                traces=self.traces,
            )
        finally:
            consumer.close()
            self.producer.close()


@pytest.fixture
def loop(kafka: Kafka, prefix: str, tiny_bundle: Path) -> Loop:
    """A loop with a hundred comments before it, in two partitions."""
    loop = Loop(kafka, prefix, tiny_bundle)
    kafka.create_topics(f"{prefix}comments", partitions=2)
    kafka.create_topics(*loop.outputs)
    sent = [json.dumps({"number": n, "text": text}).encode() for n, text in enumerate(comments(100))]
    kafka.produce(f"{prefix}comments", [Message(value, partition=n % 2) for n, value in enumerate(sent)])
    return loop


def fail(producer: TransactionalProducer, at: int, fault: Callable[[Publish], Publish]) -> None:
    """Let the fault happen to one call of `publish`, counted from 0."""
    real = producer.publish
    calls: Iterator[int] = iter(range(1_000_000))

    def publish(*batch: Any) -> float:
        return (fault(real) if next(calls) == at else real)(*batch)

    producer.publish = publish  # type: ignore[method-assign]


def before_it_began(_: Publish) -> Publish:
    """Nothing is sent."""

    def publish(*_: Any) -> float:
        raise TransactionFailed("injected")

    return publish


def after_it_committed(real: Publish) -> Publish:
    """All is committed, and the answer is lost."""

    def publish(*batch: Any) -> float:
        real(*batch)
        raise TransactionFailed("injected")

    return publish


@pytest.mark.parametrize("at", [0, 3])
@pytest.mark.parametrize("fault", [before_it_began, after_it_committed])
def test_failed_transaction_is_read_again_from_what_is_committed(
    loop: Loop, kafka: Kafka, at: int, fault: Callable[[Publish], Publish]
) -> None:
    """Whether the failed transaction had committed or not, each comment comes out once, in order."""
    fail(loop.producer, at, fault)

    loop.run()

    records = kafka.read(*loop.outputs, count=100)
    assert sorted(json.loads(record.value)["number"] for record in records) == list(range(100))
    assert loop.metrics.registry.get_sample_value("urgency_router_messages_discarded_total") > 0
    failed = {"outcome": "failed"}
    assert loop.metrics.registry.get_sample_value("urgency_router_transactions_total", failed) == 1


def test_missing_right_ends_the_loop(loop: Loop) -> None:
    """A right that Kafka refuses is not asked for again and again: the loop ends with Kafka's error."""

    def refused(_: Publish) -> Publish:
        def publish(*_: Any) -> float:
            raise TopicAuthorizationFailedError("injected")

        return publish

    fail(loop.producer, 1, refused)

    with pytest.raises(TopicAuthorizationFailedError):
        loop.run()


def join(pipeline: Pipeline) -> None:
    """Poll until the group is joined."""
    with contextlib.suppress(Rebalanced):
        while True:
            pipeline._read()


def test_batch_is_bounded_in_bytes(
    loop: Loop, kafka: Kafka, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the device computes, messages are gathered up to MAX_BATCH_BYTES, though ten would be allowed."""
    loop.settings = loop.settings.model_copy(update={"input_topic": f"{prefix}large"})
    kafka.create_topics(f"{prefix}large")
    monkeypatch.setattr("consumer.pipeline.MAX_BATCH_BYTES", 2_500_000)
    with loop.pipeline() as pipeline:
        join(pipeline)
        kafka.produce(f"{prefix}large", [Message(b"first")])
        while not pipeline._read():
            pass
        kafka.produce(f"{prefix}large", [Message(b"x" * 900_000) for _ in range(15)])
        pipeline._computing = Future()

        batch = pipeline._read()

    assert batch is not None
    assert 3 <= len(batch.records) < 10
