"""One consumer: prove the model, connect, and work until told to stop."""

import contextlib
import logging
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, NamedTuple

from kafka import KafkaConsumer
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata, TopicPartition

from consumer import access, bundle, clients, handshake, precision, topics
from consumer.batching import BatchBound
from consumer.classifier import Classifier
from consumer.errors import UrgencyRouterError
from consumer.health import Health
from consumer.labeller import Labeller
from consumer.messages import Model
from consumer.metrics import Metrics
from consumer.offsets import Offsets
from consumer.pipeline import RETRY_SECONDS, Pipeline
from consumer.retrying import hopeless
from consumer.routing import Routing
from consumer.settings import Settings
from consumer.shadow import Shadow
from consumer.succession import Succession
from consumer.transactions import TransactionalProducer

if TYPE_CHECKING:
    from consumer.traces import Traces

log = logging.getLogger("consumer")

# Leaving the group takes one request; a Kafka that is away must not hold up the end.
LEAVE_TIMEOUT_MS = 5000


@dataclass(frozen=True)
class Stretch:
    """A part of the input topic's history.

    Attributes:
        since: its beginning, milliseconds since 1970.
        until: the time before which it ends.
        begin: told each partition's offsets, and those that were committed before.
        committed: told the next offsets once a transaction has committed.
    """

    since: int
    until: int
    begin: Callable[[Mapping[TopicPartition, range], Mapping[TopicPartition, int]], None]
    committed: Callable[[Mapping[TopicPartition, OffsetAndMetadata]], None]


def run(
    settings: Settings,
    stop: threading.Event,
    metrics: Metrics,
    health: Health,
    *,
    advise: bool = True,
    stretch: Stretch | None = None,
) -> int:
    """Prove the model, join the group, and work until `stop` is set; 0, the code to end with.

    `advise` has it measure, before it joins, whether int8 is worth it here. With `stretch` it reads that part
    of the input topic alone, and ends after it.

    Raises:
        UrgencyRouterError: the consumer cannot start; the message says what to do.
        KafkaError: Kafka refuses for good, such as for want of a right.
    """
    traces = _traces(settings, metrics)
    model_bundle = bundle.read(settings.bundle)
    classifier, routing, model = _proved(model_bundle, settings)
    shadow = _shadow(settings, metrics)
    labeller = Labeller(settings, classifier, routing, model, shadow)
    labeller.announce(metrics)
    if advise:
        precision.advise(model_bundle, classifier, settings.threads)
    connected = _connect(settings, topics.needed(settings), metrics, health, stop, stretch)
    if connected is None:
        return 0
    consumer, producer, offsets, ranges = connected
    with contextlib.ExitStack() as connections:
        if traces:
            connections.callback(traces.close)
        connections.callback(producer.close)
        connections.callback(consumer.close, timeout_ms=LEAVE_TIMEOUT_MS)
        if shadow:
            connections.enter_context(shadow)
        succession = connections.enter_context(
            Succession(
                settings.bundle,
                settings.bundle_check_seconds,
                model.version,
                lambda new: Labeller(settings, *_proved(new, settings), shadow),
                metrics,
            )
        )
        Pipeline(
            consumer=consumer,
            offsets=offsets,
            producer=producer,
            labeller=labeller,
            bound=BatchBound(
                max_seconds=settings.max_batch_seconds,
                max_comments=settings.max_batch_messages,
                rate=classifier.rate,
            ),
            metrics=metrics,
            health=health,
            successor=succession.take,
            ranges=ranges,
            committed=stretch.committed if stretch else lambda _: None,
            traces=traces,
        ).run(stop, exit_at_end=settings.exit_at_end or stretch is not None)
    return 0


def exit_code(settings: Settings, work: Callable[[], int]) -> int:
    """Do the work, and give the code to end with: what it gives, or that of its failure, which is logged."""
    try:
        with access.explained(settings):
            return work()
    except UrgencyRouterError as error:
        log.error("%s", error)
        return error.exit_code
    except KafkaError as error:
        log.error("Kafka refuses, and asking again would not help: %s: %s", type(error).__name__, error)
        return UrgencyRouterError.exit_code
    except Exception:
        log.exception("a fault of the consumer itself; nothing uncommitted is lost, please report it")
        return UrgencyRouterError.exit_code


def stop_on_signals(*numbers: signal.Signals) -> threading.Event:
    """Have the first of these signals set the event; a second one ends the process at once."""
    stop = threading.Event()

    def handle(number: int, _: FrameType | None) -> None:
        log.info("%s: publishing what is in flight, then leaving the group", signal.Signals(number).name)
        stop.set()
        # Whoever asks twice does not want to wait.
        signal.signal(number, signal.SIG_DFL)

    for number in numbers:
        signal.signal(number, handle)
    return stop


def _traces(settings: Settings, metrics: Metrics) -> "Traces | None":
    if not settings.traces:
        return None
    # Here and not above: it is an extra, which need not be installed.
    from consumer.traces import Traces

    return Traces.of(settings, metrics)


def _proved(model_bundle: bundle.Bundle, settings: Settings) -> tuple[Classifier, Routing, Model]:
    """Make of a bundle what labels with it, once its golden comments come out as they should."""
    manifest = model_bundle.manifest
    routing = Routing.build(manifest.labels, settings.routes, settings.weights)
    classifier = Classifier(
        model_bundle,
        device=settings.device,
        precision=settings.precision,
        token_budget=settings.micro_batch_tokens,
        threads=settings.threads,
        gpu_memory=int(settings.gpu_memory_gb * 1e9),
    )
    log.info(
        "model %s %s on %s in %s: %s",
        manifest.name,
        manifest.version,
        classifier.device,
        classifier.precision,
        classifier.device_reason,
    )
    classifier.prove()
    log.info(
        "all %d golden comments match the bundle; micro-batches of %d tokens",
        len(model_bundle.golden),
        classifier.token_budget,
    )
    return classifier, routing, Model(manifest.name, manifest.version, manifest.labels)


def _shadow(settings: Settings, metrics: Metrics) -> Shadow | None:
    if settings.shadow_bundle is None:
        return None
    # One thread of a CPU: the model in use must not wait for it.
    alone = settings.model_copy(update={"threads": 1})
    proved = _proved(bundle.read(settings.shadow_bundle), alone)
    return Shadow(*proved, settings.shadow_share, metrics)


class _Connected(NamedTuple):
    consumer: KafkaConsumer
    producer: TransactionalProducer
    offsets: Offsets
    ranges: Mapping[TopicPartition, range] | None


def _connect(
    settings: Settings,
    needed_topics: dict[str, topics.Right],
    metrics: Metrics,
    health: Health,
    stop: threading.Event,
    stretch: Stretch | None,
) -> _Connected | None:
    """Connect to Kafka however long that takes; None if told to stop before."""
    producer = clients.producer(settings)
    while not stop.is_set():
        try:
            handshake.check(settings)
            health.beat()
            topics.ensure(needed_topics, settings)
            health.beat()
            producer.connect()
            health.beat()
            consumer = clients.consumer(settings)
            return _begin(settings, consumer, producer, metrics, stretch)
        except KafkaError as error:
            if hopeless(error):
                raise
            log.warning(
                "no answer from Kafka at %s (%s); trying again, check --bootstrap-servers if this goes on",
                settings.bootstrap_servers,
                error,
            )
            health.beat()
            stop.wait(RETRY_SECONDS)
    producer.close()
    return None


def _begin(
    settings: Settings,
    consumer: KafkaConsumer,
    producer: TransactionalProducer,
    metrics: Metrics,
    stretch: Stretch | None,
) -> _Connected:
    offsets = Offsets(consumer, settings.input_topic, settings.auto_offset_reset, metrics, producer.topic_id)
    if stretch is None:
        return _Connected(consumer, producer, offsets, None)
    try:
        ranges, committed = offsets.stretch(stretch.since, stretch.until)
    except KafkaError:
        consumer.close(timeout_ms=LEAVE_TIMEOUT_MS)
        raise
    stretch.begin(ranges, committed)
    return _Connected(consumer, producer, offsets, ranges)
