"""poll -> classify -> publish, and what happens on a rebalance or a failure.

Two batches are in flight: while the device computes one, the loop publishes the one before and reads the one
after. The committed offset is the only truth: on any doubt what is in flight is thrown away and read again.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kafka import KafkaConsumer
from kafka.errors import (
    KafkaError,
    LogTruncationError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from kafka.structs import ConsumerGroupMetadata, MemberState, OffsetAndMetadata, TopicPartition

from consumer import messages, rejoining
from consumer.batching import BatchBound
from consumer.classifier import Work
from consumer.errors import BatchDiscarded, Rebalanced, RecordsRefused, TransactionFailed
from consumer.health import Health
from consumer.labeller import Labeller
from consumer.messages import Outgoing, now
from consumer.metrics import Metrics
from consumer.offsets import REQUEST_TIMEOUT_MS, Offsets
from consumer.progress import Progress
from consumer.retrying import hopeless
from consumer.transactions import TransactionalProducer

if TYPE_CHECKING:  # an extra, which need not be installed
    from consumer.traces import Traces

log = logging.getLogger(__name__)

# How long a poll waits for the first message; also how soon an idle loop sees a signal.
IDLE_POLL_MS = 200
# How long the loop waits for the device between two looks at what has arrived.
BUSY_WAIT_SECONDS = 0.01
RETRY_SECONDS = 1.0
OBSERVE_EVERY_SECONDS = 1.0
# Heartbeats go out at every interval; one may be late.
HEARTBEATS_MISSED = 2
# Texts of a few hundred bytes fill it with some 100,000 messages: it bounds memory when they are huge.
MAX_BATCH_BYTES = 32 * 1024 * 1024
# A poll unpacks as many: with a thousand huge ones it would go far beyond that.
POLL_MESSAGES = 100


@dataclass
class Batch:
    """Records read under one group membership from the topic with that id, at least one.

    Attributes:
        polled: when each record was, nanoseconds since 1970.
        began: when the first was, as `time.monotonic` counts.
        stages: how long each stage took that it has gone through, seconds.
        work: what it was to the model.
    """

    records: list[Any]
    membership: ConsumerGroupMetadata
    topic_id: str
    polled: list[int] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    stages: dict[str, float] = field(default_factory=dict)
    work: Work = field(default_factory=Work)

    def next_offsets(self) -> dict[TopicPartition, OffsetAndMetadata]:
        """Per partition, the offset after its last record."""
        return {
            TopicPartition(r.topic, r.partition): OffsetAndMetadata(r.offset + 1, self.topic_id, -1)
            for r in self.records
        }


class Pipeline:
    """The loop. All of it runs on one thread, save the device's work."""

    def __init__(
        self,
        *,
        consumer: KafkaConsumer,
        offsets: Offsets,
        producer: TransactionalProducer,
        labeller: Labeller,
        bound: BatchBound,
        metrics: Metrics,
        health: Health,
        successor: Callable[[], Labeller | None] = lambda: None,
        ranges: Mapping[TopicPartition, range] | None = None,
        committed: Callable[[Mapping[TopicPartition, OffsetAndMetadata]], None] = lambda _: None,
        traces: "Traces | None" = None,
    ) -> None:
        """Put the parts together.

        Args:
            consumer: subscribed to the input topic.
            offsets: where each partition is read from.
            producer: connected.
            labeller: makes what is published.
            bound: how many comments make a batch.
            metrics: what /metrics shows.
            health: what the probes ask.
            successor: asked between two batches for a labeller to go on with.
            ranges: the offsets of each partition that are read, of which there is an end; None for all.
            committed: told the next offsets once a transaction has committed.
            traces: makes spans of messages that bring a trace; None for none.
        """
        self._consumer = consumer
        self._offsets = offsets
        self._producer = producer
        self._labeller = labeller
        self._bound = bound
        self._metrics = metrics
        self._health = health
        self._successor = successor
        self._ranges = ranges
        self._committed = committed
        self._traces = traces
        self._progress = Progress()
        self._in_flight: deque[Batch] = deque()
        self._computing: Future[list[Outgoing]] | None = None
        self._membership: ConsumerGroupMetadata | None = None
        self._changed_at = 0.0
        self._kafka_silent = False
        self._observe_at = 0.0

    def run(self, stop: threading.Event, *, exit_at_end: bool) -> None:
        """Work until told to stop, then publish what is on the device.

        Args:
            stop: set it from a signal handler.
            exit_at_end: also stop once all there is to read has been published.
        """
        with ThreadPoolExecutor(1, thread_name_prefix="device") as device:
            while not stop.is_set():
                try:
                    self._turn(device)
                    if exit_at_end and not self._in_flight and self._caught_up():
                        log.info("caught up with the input topic")
                        break
                except BatchDiscarded as cause:
                    self._discard(cause, stop)
                except KafkaError as error:
                    if hopeless(error):
                        raise
                    self._discard(BatchDiscarded(f"{type(error).__name__}: {error}"), stop)
            self._health.set_ready(False)
            try:
                self._publish_computed()
            except (BatchDiscarded, KafkaError) as cause:
                if isinstance(cause, KafkaError) and hopeless(cause):
                    raise
                log.warning("given back what was in flight: %s", cause)
            self._progress.tell(at_once=True)

    def _turn(self, device: ThreadPoolExecutor) -> None:
        arrived = self._read()
        outgoing = self._computing.result() if self._computing else None
        self._labeller = self._successor() or self._labeller
        self._computing = device.submit(self._classify, arrived) if arrived else None
        if outgoing is not None:
            self._publish(outgoing)
        self._observe()

    def _read(self) -> Batch | None:
        """Gather what arrives while the device computes; wait a little if it is idle."""
        batch: Batch | None = None
        bound = self._bound.comments
        self._metrics.batch_bound.set(bound)
        size = 0
        while True:
            computing = self._computing is not None and not self._computing.done()
            if not computing:
                # A device that never ends must not look alive because the loop around it turns.
                self._health.beat()
            wanted = min(POLL_MESSAGES, bound - (len(batch.records) if batch else 0))
            records = self._poll(wanted, 0 if batch or self._computing else IDLE_POLL_MS)
            membership = self._consumer.group_metadata()
            self._offsets.notice()
            self._health.set_ready(membership.generation_id >= 0 and not self._kafka_silent)
            if records and batch is None:
                batch = Batch([], membership, self._offsets.topic_id)
                self._in_flight.append(batch)
            if batch:
                batch.records.extend(records)
                batch.polled.extend([time.time_ns()] * len(records))
                size += sum(map(messages.size, records))
            self._check(membership)
            if records:
                self._offsets.verify(membership.generation_id)
            if size >= MAX_BATCH_BYTES or (batch and len(batch.records) >= bound):
                return batch
            if not computing and len(records) < wanted:
                return batch
            if not records and self._computing:
                wait([self._computing], BUSY_WAIT_SECONDS)

    def _poll(self, max_records: int, timeout_ms: int) -> list[Any]:
        rejoining.keep(self._consumer._coordinator)
        self._pause_at_ends()
        try:
            polled = self._consumer.poll(timeout_ms, max_records)
        except NoOffsetForPartitionError as error:
            self._offsets.start(error.args[0])
        except OffsetOutOfRangeError as error:
            self._offsets.replace(error.args[0])
        except LogTruncationError as error:
            self._offsets.truncated(error.divergent_offsets)
        else:
            return [
                record
                for partition, records in polled.items()
                for record in records
                if self._ranges is None or record.offset < self._end(partition)
            ]
        return []

    def _end(self, partition: TopicPartition) -> int:
        """Where a partition's range ends; one that is new has none."""
        assert self._ranges is not None
        return self._ranges.get(partition, range(0)).stop

    def _pause_at_ends(self) -> None:
        if self._ranges is None:
            return
        for partition in self._assignment():
            # What is thrown away in flight is read again.
            at_end = (self._position(partition) or 0) >= self._end(partition)
            (self._consumer.pause if at_end else self._consumer.resume)(partition)

    def _check(self, membership: ConsumerGroupMetadata) -> None:
        if membership == self._membership:
            return
        self._membership = membership
        self._changed_at = time.monotonic()
        if membership.state is MemberState.STABLE:
            self._metrics.rebalances.inc()
            log.info(
                "joined generation %d of the group, %d partitions",
                membership.generation_id,
                len(self._assignment()),
            )
        # Even partitions that stay are read from their committed offsets: a member that is thrown out while
        # it joins keeps its partitions in kafka-python, and others may have gone on with them meanwhile.
        if self._is_member or self._in_flight:
            raise Rebalanced("the group has rebalanced")

    @property
    def _is_member(self) -> bool:
        return self._membership is not None and self._membership.generation_id >= 0

    def _classify(self, batch: Batch) -> list[Outgoing]:
        started = time.monotonic()
        outgoing = self._labeller.label(batch.records)
        seconds = time.monotonic() - started
        batch.stages |= {"poll": started - batch.began, "classify": seconds}
        batch.work = self._labeller.work
        self._bound.observe(len(batch.records), seconds)
        return outgoing

    def _publish_computed(self) -> None:
        if self._computing:
            computing, self._computing = self._computing, None
            self._publish(computing.result())

    def _publish(self, outgoing: list[Outgoing]) -> None:
        batch = self._in_flight[0]
        started = time.monotonic()
        self._offsets.confirm(batch.topic_id)
        spans = self._traces.begin(batch.records, batch.polled) if self._traces else None
        while True:
            try:
                carried = spans.carried(outgoing) if spans else outgoing
                sent_at = self._producer.publish(carried, batch.next_offsets(), batch.membership)
                break
            except RecordsRefused as refused:
                self._metrics.transactions.labels("failed").inc()
                log.warning("%d messages go to the dead letters: %s", len(refused.errors), refused)
                outgoing = self._without_refused(batch, outgoing, refused)
                try:
                    self._connect()
                except KafkaError as error:
                    if hopeless(error):
                        raise
                    raise TransactionFailed(f"{type(error).__name__}: {error}") from error
            except TransactionFailed:
                self._metrics.transactions.labels("failed").inc()
                raise
        self._in_flight.popleft()
        self._health.beat()
        batch.stages |= {"publish": sent_at - started, "commit": time.monotonic() - sent_at}
        if spans:
            spans.end(outgoing)
        self._committed(batch.next_offsets())
        timestamps = [record.timestamp for record in batch.records]
        self._metrics.committed(timestamps, outgoing, now(), batch.stages)
        self._progress.committed(batch.records, outgoing, batch.stages, batch.work)

    def _connect(self) -> None:
        self._health.beat()
        self._producer.connect()
        self._health.beat()

    def _without_refused(
        self, batch: Batch, outgoing: list[Outgoing], refused: RecordsRefused
    ) -> list[Outgoing]:
        return [
            self._labeller.refused(record, sent, refused.errors[index]) if index in refused.errors else sent
            for index, (record, sent) in enumerate(zip(batch.records, outgoing, strict=True))
        ]

    def _discard(self, cause: BatchDiscarded, stop: threading.Event) -> None:
        """Throw away what is in flight and go back to the committed offsets, however long that takes."""
        discarded = sum(len(batch.records) for batch in self._in_flight)
        if discarded or not isinstance(cause, Rebalanced):
            log.warning("%d messages in flight will be read again: %s", discarded, cause)
        self._metrics.discarded.inc(discarded)
        self._in_flight.clear()
        self._computing = None
        while not stop.is_set():
            try:
                if not isinstance(cause, Rebalanced):
                    stop.wait(RETRY_SECONDS)
                    self._connect()
                self._offsets.rewind()
                return
            except KafkaError as error:
                if hopeless(error):
                    raise
                log.warning("Kafka does not answer (%s: %s); trying again", type(error).__name__, error)
                self._health.set_ready(False)
                self._health.beat()
                stop.wait(RETRY_SECONDS)

    def _caught_up(self) -> bool:
        # Without partitions it waits: whoever has them leaves once at the end, and then it gets some.
        assigned = self._assignment()
        if self._ranges is None:
            ends = self._consumer.end_offsets(list(assigned), timeout_ms=REQUEST_TIMEOUT_MS)
        else:
            ends = {partition: self._end(partition) for partition in assigned}
        return bool(ends) and all((self._position(partition) or 0) >= end for partition, end in ends.items())

    def _observe(self) -> None:
        if time.monotonic() < self._observe_at:
            return
        self._observe_at = time.monotonic() + OBSERVE_EVERY_SECONDS
        self._observe_silence()
        lag: dict[TopicPartition, int] = {}
        for partition in self._assignment():
            end = self._consumer.highwater(partition) if self._ranges is None else self._end(partition)
            position = self._position(partition)
            if end is not None and position is not None:
                lag[partition] = max(0, end - position)
        self._metrics.assigned(len(self._assignment()), lag)
        self._progress.tell(sum(lag.values()))

    def _position(self, partition: TopicPartition) -> int | None:
        try:
            position: int | None = self._consumer.position(partition, timeout_ms=0)
        except NoOffsetForPartitionError:
            return None  # the next poll says so again, and is answered
        return position

    def _observe_silence(self) -> None:
        """A consumer with nothing to read hears of a Kafka that is away by its heartbeats alone."""
        coordination = self._consumer.metrics().get("consumer-coordinator-metrics", {})
        # A member that joins sends none.
        since_joined = time.monotonic() - self._changed_at
        age = min(since_joined, coordination.get("last-heartbeat-seconds-ago", 0.0))
        interval = self._consumer.config["heartbeat_interval_ms"] / 1000
        silent = self._is_member and age > HEARTBEATS_MISSED * interval + 1
        if silent and not self._kafka_silent:
            log.warning("Kafka has taken no heartbeat for %.0f seconds; waiting for it", age)
        if self._kafka_silent and not silent:
            log.info("Kafka answers again")
        self._kafka_silent = silent

    def _assignment(self) -> set[TopicPartition]:
        return set(self._consumer.assignment())
