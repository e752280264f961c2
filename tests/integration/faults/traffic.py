"""Comments in at a steady rate, and a subscriber that reads all that comes out meanwhile."""

import threading
import time
from abc import ABC, abstractmethod
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Self

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from tests.integration.faults.comments import PARTITIONS, Comment, partition_of
from tests.integration.faults.ledger import Ledger
from tests.integration.faults.topics import INPUT, OUTPUTS

TICK_SECONDS = 0.02
# Longer than any fault: a comment that is given up might have been kept all the same.
DELIVERY_MS = 600_000
# A client that has met a broker which is down tries it again soon: 30 s by default.
CLIENT = {"reconnect_backoff_max_ms": 1000, "metadata_max_age_ms": 10_000}


class _Worker(threading.Thread, ABC):
    """A thread whose failure is not forgotten."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._stop_asked = threading.Event()
        self._failure: BaseException | None = None

    def run(self) -> None:
        try:
            self._work()
        except BaseException as failure:
            self._failure = failure

    @abstractmethod
    def _work(self) -> None: ...

    def raise_if_failed(self) -> None:
        """Raise what ended the thread, if something did."""
        if self._failure:
            raise self._failure

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_asked.set()
        self.join()


class Producer(_Worker):
    """Sends comments 0, 1, 2 and so on, `rate` a second, each acknowledged by all replicas in sync.

    `sent` is the number of the next one.
    """

    def __init__(self, servers: str, comment: Callable[[int], Comment], rate: float, ledger: Ledger) -> None:
        super().__init__("producer")
        self.sent = 0
        self._comment = comment
        self._rate = rate
        self._ledger = ledger
        self._finish = threading.Event()
        self._total = 0
        self._producer = KafkaProducer(
            bootstrap_servers=servers.split(","),
            acks="all",
            linger_ms=5,
            delivery_timeout_ms=DELIVERY_MS,
            request_timeout_ms=10_000,
            **CLIENT,
        )

    def finish(self, total: int) -> None:
        """Send what is left of `total` as fast as it goes, and stop; `join` waits for that."""
        self._total = total
        self._finish.set()

    def _work(self) -> None:
        try:
            self._send_steadily()
            while self.sent < self._total and not self._stop_asked.is_set():
                self._send(min(1000, self._total - self.sent))
                self._producer.flush(DELIVERY_MS / 1000)
            self._producer.flush(DELIVERY_MS / 1000)
        finally:
            self._producer.close(timeout=0)

    def _send_steadily(self) -> None:
        start = time.monotonic()
        while not self._finish.wait(TICK_SECONDS) and not self._stop_asked.is_set():
            self._send(int((time.monotonic() - start) * self._rate) - self.sent)

    def _send(self, count: int) -> None:
        for number in range(self.sent, self.sent + count):
            comment = self._comment(number)
            future = self._producer.send(
                INPUT,
                value=comment.value,
                key=comment.key,
                headers=list(comment.headers),
                partition=comment.partition,
            )
            future.add_callback(lambda _, number=number: self._ledger.acknowledge(number))
            future.add_errback(self._refused)
            self.sent = number + 1

    def _refused(self, error: BaseException) -> None:
        self._failure = self._failure or error


class Reader(_Worker):
    """Reads input and outputs from the beginning, as they are committed, and notes when each output came."""

    def __init__(self, servers: str, ledger: Ledger) -> None:
        super().__init__("reader")
        self._ledger = ledger
        self._consumer = KafkaConsumer(
            bootstrap_servers=servers.split(","),
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            fetch_max_wait_ms=100,
            **CLIENT,
        )
        self._partitions = [
            TopicPartition(topic, number)
            for topic in (INPUT, *OUTPUTS)
            for number in self._consumer.partitions_for_topic(topic) or ()
        ]
        self._consumer.assign(self._partitions)
        self._next = dict.fromkeys(self._partitions, 0)
        self._newest = [-1] * PARTITIONS
        self._arrivals = array("d")
        self._delays = array("d")
        self._finish = threading.Event()

    def finish(self) -> None:
        """Stop at the end of what is committed; `join` waits for that."""
        self._finish.set()

    def all_newer(self, number: int) -> bool:
        """Whether a comment of that number or a later one has come out of every input partition."""
        return min(self._newest) >= number

    def longest_silence(self, start: float, end: float) -> float:
        """The longest time between two arrivals, seconds; the times are those of the monotonic clock."""
        return longest_gap(self._arrivals, start, end)

    def longest_delay(self, start: float, end: float) -> float:
        """The longest time between a comment's making and its arrival, for arrivals in that time, seconds."""
        among = slice(bisect_left(self._arrivals, start), bisect_right(self._arrivals, end))
        return max(self._delays[among], default=0.0)

    def _work(self) -> None:
        try:
            while not self._stop_asked.is_set():
                polled = self._consumer.poll(timeout_ms=100)
                for partition, records in polled.items():
                    for record in records:
                        # To read an offset again, as after a change of leaders, is not to be sent it twice.
                        if record.offset >= self._next[partition]:
                            self._next[partition] = record.offset + 1
                            self._see(record)
                if self._finish.is_set() and not polled and self._at_end():
                    return
        finally:
            self._consumer.close()

    def _see(self, record: Any) -> None:
        number = self._ledger.see(record)
        if record.topic == INPUT:
            return
        self._arrivals.append(time.monotonic())
        self._delays.append(time.time() - record.timestamp / 1000)
        if number is not None:
            partition = partition_of(number)
            self._newest[partition] = max(number, self._newest[partition])

    def _at_end(self) -> bool:
        try:
            ends = self._consumer.end_offsets(self._partitions)
            return all(self._consumer.position(partition) >= end for partition, end in ends.items())
        except KafkaError:
            return False


def longest_gap(times: Sequence[float], start: float, end: float) -> float:
    """The longest time without any of `times`, which ascend, from `start` to `end`."""
    inside = times[bisect_left(times, start) : bisect_right(times, end)]
    return max(later - earlier for earlier, later in pairwise([start, *inside, end]))
