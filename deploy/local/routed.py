"""What the consumer published: the routed topics, read as a subscriber would (read_committed)."""

from dataclasses import dataclass
from typing import Any

import orjson
from kafka import KafkaConsumer, TopicPartition

from deploy.local.errors import TopicsMissing
from deploy.local.produce import ANSWER_MS

DEAD_LETTER = "dead-letter"
# Lanes are shown in this order; other urgencies follow, the dead letters come last.
URGENCIES = ("high", "medium", "low")


@dataclass(frozen=True, slots=True)
class Routed:
    """A message of a routed topic; `label` and `confidence` are those of a dead letter's reason and 0."""

    lane: str
    key: bytes | None
    text: str
    label: str
    confidence: float


class RoutedTopics:
    """Every topic of a prefix, from now on or from its beginning."""

    def __init__(self, bootstrap_servers: str, prefix: str, *, from_beginning: bool) -> None:
        """Connect and find the topics. Raises `TopicsMissing`, or `KafkaError` if no broker answers."""
        self._prefix = prefix
        self._consumer = KafkaConsumer(
            bootstrap_servers=bootstrap_servers,
            bootstrap_timeout_ms=ANSWER_MS,
            isolation_level="read_committed",
            enable_auto_commit=False,
        )
        topics = sorted(topic for topic in self._consumer.topics() if topic.startswith(prefix))
        if not topics:
            self._consumer.close()
            raise TopicsMissing(
                f"There is no topic {prefix}… on {bootstrap_servers}: "
                "start the consumer with --create-topics first, or correct --output-prefix."
            )
        self._partitions = [
            TopicPartition(topic, number)
            for topic in topics
            for number in self._consumer.partitions_for_topic(topic) or ()
        ]
        self._consumer.assign(self._partitions)
        if from_beginning:
            self._consumer.seek_to_beginning(*self._partitions)
        else:
            self._consumer.seek_to_end(*self._partitions)
        self.lanes = sorted((topic.removeprefix(prefix) for topic in topics), key=_order)

    def poll(self, seconds: float) -> list[Routed]:
        """What has come, waiting up to `seconds` for the first."""
        batches = self._consumer.poll(timeout_ms=int(seconds * 1000)).values()
        return [
            _routed(record, record.topic.removeprefix(self._prefix)) for batch in batches for record in batch
        ]

    def at_end(self) -> bool:
        """Whether everything committed until now has been polled."""
        ends = self._consumer.end_offsets(self._partitions)
        return all(self._consumer.position(partition) >= ends[partition] for partition in self._partitions)

    def close(self) -> None:
        """Leave."""
        self._consumer.close()


def _order(lane: str) -> tuple[int, str]:
    if lane == DEAD_LETTER:
        return len(URGENCIES) + 1, lane
    return (URGENCIES.index(lane) if lane in URGENCIES else len(URGENCIES)), lane


def _routed(record: Any, lane: str) -> Routed:
    if lane == DEAD_LETTER:
        reason = dict(record.headers).get("error.reason", b"")
        return Routed(lane, record.key, record.value.decode(errors="replace"), reason.decode(), 0.0)
    value = orjson.loads(record.value)
    classification = value["classification"]
    text = value.get("text")
    return Routed(
        lane,
        record.key,
        text if isinstance(text, str) else "",
        classification["label"],
        classification["confidence"],
    )
