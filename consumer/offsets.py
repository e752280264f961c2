"""Where each partition is read from: its committed offset, or where --auto-offset-reset says.

kafka-python's own reset would skip messages without a word and remember nothing of it, so it is switched off
(`auto_offset_reset="none"`) and its errors come here.
"""

import contextlib
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Literal

from kafka import KafkaConsumer
from kafka.errors import (
    CommitFailedError,
    KafkaError,
    RebalanceInProgressError,
    UnknownTopicOrPartitionError,
)
from kafka.structs import OffsetAndMetadata, TopicPartition

from consumer.errors import OffsetLost, TopicMadeAgain
from consumer.metrics import Metrics

log = logging.getLogger(__name__)

OffsetReset = Literal["earliest", "latest", "none"]

REQUEST_TIMEOUT_MS = 10_000


class Offsets:
    """Finds the positions of a consumer that does not reset them by itself.

    Every start it chooses is committed at once, so that a restart before the first message begins there too,
    and a loss is counted once.

    An offset is one of a topic, and a topic that was deleted and made again has the old one's name: its first
    messages have the offsets of messages read long ago, and would be passed over. So each commit carries the
    topic's id as its metadata, and one that carries another id does not count. Of a stretch of history
    nothing is left in the new topic: where a method says TopicMadeAgain, it then raises OffsetLost.
    """

    def __init__(
        self,
        consumer: KafkaConsumer,
        topic: str,
        reset: OffsetReset,
        metrics: Metrics,
        ask_topic_id: Callable[[str], str],
    ) -> None:
        """Find positions for a consumer that has subscribed and knows the topic.

        Args:
            consumer: its `auto_offset_reset` is "none".
            topic: the one that it reads.
            reset: where to begin without a committed offset, and to go on where that is gone.
            metrics: its `skipped` counts what is lost.
            ask_topic_id: gives a topic's id as Kafka has it now, empty where there is no such topic.
        """
        self._consumer = consumer
        self._topic = topic
        self._ask_topic_id = ask_topic_id
        self._reset = reset
        self._metrics = metrics
        self._topic_id = self._seen_topic_id()
        self._made_again = False
        self._positions_are_foreign = False
        self._begins: dict[TopicPartition, int] | None = None
        self._held: tuple[int, frozenset[TopicPartition]] | None = None

    @property
    def topic_id(self) -> str:
        """Which topic of that name is being read."""
        return self._topic_id

    def notice(self) -> None:
        """Call it after each poll.

        Raises:
            TopicMadeAgain: the topic is another than the one that was read until now.
        """
        if self._adopt():
            raise self._made_again_error("the input topic was deleted and made again")

    def verify(self, generation: int) -> None:
        """Call it before anything is made of what was read.

        Raises:
            TopicMadeAgain: the offsets that were gone on from are not of the topic as it is now.
            KafkaError: Kafka does not answer, or refuses.
        """
        held = (generation, frozenset(self._consumer.assignment()))
        if held != self._held:
            committed = self._committed(held[1])
            self._held = held
            if any(self._is_foreign(at) for at in committed.values()):
                raise self._made_again_error("the committed offsets are of a topic that was deleted")

    def confirm(self, topic_id: str) -> None:
        """Ask Kafka whether the topic is still this one: the client notices within a minute only.

        Raises:
            TopicMadeAgain: it is not.
            KafkaError: Kafka does not answer, or refuses.
        """
        if self._ask_topic_id(self._topic) != topic_id:
            raise self._made_again_error("the input topic was deleted")

    def rewind(self) -> None:
        """Go back to the committed offsets in every partition that is read, whatever was read since.

        Raises:
            KafkaError: Kafka does not answer, or refuses.
        """
        positions = self._consumer._subscription.assignment
        wanted = [partition for partition, at in positions.items() if at.position is not None]
        if not wanted:
            return
        self._refresh()
        if self._positions_are_foreign:
            self._drop_fetched()
        committed = self._committed(wanted)
        ours = {partition: at for partition, at in committed.items() if not self._is_foreign(at)}
        if self._begins is not None and len(ours) < len(wanted):
            raise self._made_again_error("the input topic was deleted and made again")
        for partition, at in ours.items():
            self._consumer.seek(partition, at.offset)
        # Whatever `start` chose was committed: Kafka has forgotten it together with the topic.
        beginnings, _ = self._bounds([partition for partition in wanted if partition not in ours])
        for partition, offset in beginnings.items():
            self._consumer.seek(partition, offset)
            log.warning("%s is read from its beginning, %d", _names([partition]), offset)
        with contextlib.suppress(CommitFailedError, RebalanceInProgressError):
            self._commit(beginnings)
        self._positions_are_foreign = False

    def stretch(
        self, since: int, until: int
    ) -> tuple[dict[TopicPartition, range], dict[TopicPartition, int]]:
        """Have a group that has read nothing yet begin at one time, whatever the setting; give what lies up
        to another.

        Args:
            since: milliseconds since 1970; each partition begins with its first message that is not older.
            until: and ends before its first message that is not older than this.

        Returns:
            The offsets of each partition, and those that the group had committed before.

        Raises:
            KafkaError: Kafka does not answer, or refuses.
        """
        numbers = self._consumer.partitions_for_topic(self._topic) or ()
        partitions = [TopicPartition(self._topic, number) for number in numbers]
        _, ends = self._bounds(partitions)
        begins, stops = (self._dated(partitions, moment, ends) for moment in (since, until))
        self._begins = begins
        committed = self._committed(partitions)
        if any(map(self._is_foreign, committed.values())):
            raise self._made_again_error("the committed offsets are of a topic that was deleted")
        ranges = {partition: range(begins[partition], stops[partition]) for partition in partitions}
        return ranges, {partition: at.offset for partition, at in committed.items()}

    def start(self, partitions: Collection[TopicPartition]) -> None:
        """Begin with partitions that the group has no committed offset for.

        A group that has read other partitions of the topic, or the topic before it was made again, reads a
        new one from its beginning whatever the setting: `latest` would skip what came between the
        partition's making and its discovery.

        Raises:
            OffsetLost: the setting is `none`.
            TopicMadeAgain: Kafka has forgotten the offsets together with the topic.
            KafkaError: Kafka does not answer, refuses, or the group is rebalancing.
        """
        self.notice()
        if self._begins is not None:
            self._begin_at({partition: self._begins.get(partition, 0) for partition in partitions})
            return
        if self._reset == "none":
            raise OffsetLost(
                f"the group has no committed offset for {_names(partitions)} and --auto-offset-reset is none;"
                " choose earliest or latest"
            )
        beginnings, ends = self._bounds(partitions)
        latest = self._reset == "latest" and not self._made_again and not self._group_has_read()
        chosen = ends if latest else beginnings
        self._begin_at(chosen)
        for partition in sorted(partitions):
            log.info(
                "%s has no committed offset: reading from %d, which leaves out %d messages",
                _names([partition]),
                chosen[partition],
                chosen[partition] - beginnings[partition],
            )

    def replace(self, lost: Mapping[TopicPartition, int]) -> None:
        """Go on where an offset no longer exists: retention has eaten it, or the log has lost its end.

        Args:
            lost: per partition, the offset that Kafka does not have.

        Raises:
            OffsetLost: the setting is `none`.
            TopicMadeAgain: the offset was one of a topic that was deleted.
            KafkaError: Kafka does not answer, refuses, or the group is rebalancing.
        """
        self.confirm(self._topic_id)
        beginnings, ends = self._bounds(lost)
        for partition, offset in sorted(lost.items()):
            log.error(
                "%s has no offset %d any more, it holds %d to %d: %d messages were deleted unread",
                _names([partition]),
                offset,
                beginnings[partition],
                ends[partition],
                max(0, beginnings[partition] - offset),
            )
        if self._reset == "none":
            raise OffsetLost(
                f"offsets of {_names(lost)} are gone and --auto-offset-reset is none; the lines above say how"
                " much was lost: choose earliest or latest"
            )
        chosen = ends if self._reset == "latest" else beginnings
        self._begin_at(chosen)
        for partition, offset in lost.items():
            skipped = chosen[partition] - (offset if offset <= chosen[partition] else beginnings[partition])
            self._metrics.skipped.inc(skipped)
            log.error("going on with %s at %d (--auto-offset-reset)", _names([partition]), chosen[partition])

    def truncated(self, divergences: Mapping[TopicPartition, OffsetAndMetadata | None]) -> None:
        """Go on where a log was cut off behind what has been read, as an unclean leader election does.

        Args:
            divergences: per partition, where the log that was read and the log that is left part; None where
                Kafka does not know.

        Raises:
            OffsetLost, KafkaError: as `replace`.
        """
        known = {partition: at.offset for partition, at in divergences.items() if at is not None}
        for partition, offset in sorted(known.items()):
            log.error("%s was cut off at %d by Kafka: going on there", _names([partition]), offset)
        self._begin_at(known)
        if unknown := divergences.keys() - known.keys():
            self.replace({partition: self._consumer.position(partition) for partition in unknown})

    def _adopt(self) -> bool:
        """Take the id that the client sees, and tell whether it is another than before."""
        known, seen = self._topic_id, self._seen_topic_id()
        if seen in ("", known):
            return False
        self._topic_id = seen
        if not known:
            return False
        log.warning("%s was deleted and made again: offsets of the old one do not count", self._topic)
        self._made_again = self._positions_are_foreign = True
        return True

    def _made_again_error(self, what: str) -> TopicMadeAgain | OffsetLost:
        if self._begins is None:
            return TopicMadeAgain(what)
        return OffsetLost(
            f"{what}, and what was left of the stretch to label again with it: choose another --group-id to"
            " replay the new topic"
        )

    def _begin_at(self, offsets: Mapping[TopicPartition, int]) -> None:
        self._commit(offsets)
        for partition, offset in offsets.items():
            self._consumer.seek(partition, offset)

    def _commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        commits = {
            partition: OffsetAndMetadata(offset, self._topic_id, -1) for partition, offset in offsets.items()
        }
        self._consumer.commit(commits, timeout_ms=REQUEST_TIMEOUT_MS)

    def _bounds(
        self, partitions: Iterable[TopicPartition]
    ) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
        wanted = list(partitions)
        return (
            self._consumer.beginning_offsets(wanted, timeout_ms=REQUEST_TIMEOUT_MS),
            self._consumer.end_offsets(wanted, timeout_ms=REQUEST_TIMEOUT_MS),
        )

    def _dated(
        self, partitions: Iterable[TopicPartition], moment: int, ends: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, int]:
        """Per partition, the offset of the first message that is not older, or the end."""
        found = self._consumer.offsets_for_times(dict.fromkeys(partitions, moment), REQUEST_TIMEOUT_MS)
        return {
            partition: found[partition].offset if found.get(partition) else end
            for partition, end in ends.items()
        }

    def _group_has_read(self) -> bool:
        numbers = self._consumer.partitions_for_topic(self._topic) or ()
        committed = self._committed(TopicPartition(self._topic, number) for number in numbers)
        return any(not self._is_foreign(at) for at in committed.values())

    def _committed(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, OffsetAndMetadata]:
        """What the group has committed, of the partitions where it has."""
        committed: dict[TopicPartition, OffsetAndMetadata] = (
            self._consumer._coordinator.fetch_committed_offsets(list(partitions), REQUEST_TIMEOUT_MS)
        )
        return committed

    def _is_foreign(self, committed: OffsetAndMetadata) -> bool:
        # What others have committed, such as Kafka's own tools, has no metadata, and is taken as it is.
        return committed.metadata not in ("", self._topic_id)

    def _drop_fetched(self) -> None:
        # kafka-python tells fetched messages by the offset they were asked for at, so those of the old topic,
        # asked for at its beginning and not given out yet, would pass for the new one's.
        fetcher, manager = self._consumer._fetcher, self._consumer._manager
        for fetch in list(fetcher._fetch_futures):
            try:
                manager.run(manager.wait_for, fetch, REQUEST_TIMEOUT_MS)
            except KafkaError:
                if not fetch.is_done:
                    raise
        fetcher._completed_fetches.clear()
        fetcher.close()  # which forgets what it has unpacked, and goes on working

    # kafka-python has no public way to ask for a topic's id.

    def _refresh(self) -> None:
        manager = self._consumer._manager
        with contextlib.suppress(UnknownTopicOrPartitionError):
            manager.run(manager.wait_for, self._consumer._cluster.request_update(), REQUEST_TIMEOUT_MS)
        self._adopt()

    def _seen_topic_id(self) -> str:
        """The topic's id in the client's metadata, empty where it does not know the topic."""
        return str(self._consumer._cluster.topic_id(self._topic) or "")


def _names(partitions: Iterable[TopicPartition]) -> str:
    return ", ".join(f"{partition.topic}-{partition.partition}" for partition in sorted(partitions))
