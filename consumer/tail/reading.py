"""The routed topics, read by someone who is in no group: what is there, what comes, and new partitions."""

import re
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer
from kafka.errors import KafkaError, KafkaTimeoutError
from kafka.structs import TopicPartition

from consumer.tail.routed import Routed

REQUEST_TIMEOUT_MS = 10_000
POLL_MS = 250
# How soon new partitions and topics are noticed, and a Kafka that is away.
LOOK_SECONDS = 10.0
# Offsets to look at first for each message wanted: each transaction takes one of its own.
STRIDE = 3
LEAST_STRIDE = 100

Offsets = dict[TopicPartition, int]
Keep = Callable[[Any], Routed | None]


class RoutedTopics:
    """Every topic of some urgencies that may be read, those of a split and those made later too.

    Attributes:
        unreadable: the names of those that may not be read.
    """

    def __init__(
        self, consumer: KafkaConsumer, admin: KafkaAdminClient, prefix: str, urgencies: Collection[str]
    ) -> None:
        self.unreadable: set[str] = set()
        self._consumer = consumer
        self._admin = admin
        names = "|".join(map(re.escape, urgencies))
        self._names = re.compile(rf"{re.escape(prefix)}({names})(\..+)?")
        self._partitions: set[TopicPartition] = set()

    @property
    def topics(self) -> list[str]:
        """The names of those that are read."""
        return sorted({partition.topic for partition in self._partitions})

    def look(self) -> None:
        """Find partitions that are not read yet: they are read from their beginning.

        Raises:
            KafkaError: Kafka does not answer.
        """
        described = [
            topic
            for topic in self._admin.describe_topics()
            if not topic["error_code"] and self._names.fullmatch(topic["name"])
        ]
        self.unreadable = {topic["name"] for topic in described if not _readable(topic)}
        found = {
            TopicPartition(topic["name"], partition["partition_index"])
            for topic in described
            if _readable(topic)
            for partition in topic["partitions"]
        }
        if new := sorted(found - self._partitions):
            beginnings = self._consumer.beginning_offsets(new, timeout_ms=REQUEST_TIMEOUT_MS)
            self._partitions |= found
            self.start(beginnings)

    def ends(self) -> Offsets:
        """The end of all that is there now and committed.

        Raises:
            KafkaError: Kafka does not answer.
        """
        ends: Offsets = self._consumer.end_offsets(sorted(self._partitions), timeout_ms=REQUEST_TIMEOUT_MS)
        return ends

    def newest(self, ends: Mapping[TopicPartition, int], count: int, keep: Keep) -> list[Routed]:
        """The newest messages before these ends that are to be kept, oldest first.

        Raises:
            KafkaError: Kafka does not answer.
        """
        begins = self._consumer.beginning_offsets(list(ends), timeout_ms=REQUEST_TIMEOUT_MS)
        kept: list[Routed] = []
        for partition, end in ends.items():
            kept += self._newest_of(partition, begins[partition], end, count, keep)
        kept.sort(key=lambda message: message.timestamp)
        return kept[-count:]

    def start(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Go on at these offsets."""
        self._consumer.assign(sorted(self._partitions))
        for partition, offset in offsets.items():
            self._consumer.seek(partition, offset)

    def until(self, ends: Mapping[TopicPartition, int]) -> Iterator[list[Any]]:
        """Records as they come, up to these ends; an empty list where none came for a while.

        Raises:
            KafkaError: Kafka refuses, or does not answer.
        """
        silent_since = time.monotonic()
        while any(self._position(partition) < end for partition, end in ends.items()):
            records = self._poll()
            yield [record for record in records if record.offset < ends[_partition(record)]]
            silent_since = time.monotonic() if records else silent_since
            if time.monotonic() > silent_since + REQUEST_TIMEOUT_MS / 1000:
                raise KafkaTimeoutError("what is there does not come")

    def forever(self, told: Callable[[str], None]) -> Iterator[list[Any]]:
        """Records as they come, for ever; an empty list where none came for a while.

        Args:
            told: is told when Kafka is away, and when it is back.

        Raises:
            KafkaError: Kafka refuses.
        """
        looked, away = time.monotonic(), False
        while True:
            yield self._poll()
            if time.monotonic() < looked + LOOK_SECONDS:
                continue
            try:
                self.look()
            except KafkaError as error:
                if not away:
                    told(f"no answer from Kafka ({error}); waiting for it")
                away = True
            else:
                if away:
                    told("Kafka answers again")
                away = False
            looked = time.monotonic()

    def _newest_of(
        self, partition: TopicPartition, begin: int, end: int, count: int, keep: Keep
    ) -> list[Routed]:
        """Look at ever longer stretches, from the end to the beginning, until there are enough."""
        kept: list[Routed] = []
        stride = max(LEAST_STRIDE, STRIDE * count)
        self._consumer.assign([partition])
        while end > begin and len(kept) < count:
            start = max(begin, end - stride)
            self._consumer.seek(partition, start)
            stretch: deque[Routed] = deque(maxlen=count)
            for records in self.until({partition: end}):
                stretch += filter(None, map(keep, records))
            kept = [*stretch, *kept]
            end, stride = start, 2 * stride
        return kept[-count:]

    def _position(self, partition: TopicPartition) -> int:
        return self._consumer.position(partition, timeout_ms=REQUEST_TIMEOUT_MS) or 0

    def _poll(self) -> list[Any]:
        batches = self._consumer.poll(timeout_ms=POLL_MS).values()
        return [record for batch in batches for record in batch]


def _readable(topic: Mapping[str, Any]) -> bool:
    # Not every service that speaks Kafka's protocol tells.
    return topic["authorized_operations"] is None or "READ" in topic["authorized_operations"]


def _partition(record: Any) -> TopicPartition:
    return TopicPartition(record.topic, record.partition)
