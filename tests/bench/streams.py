"""Comments in a topic, a program that labels them, and when a read_committed reader sees each result."""

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import numpy as np
import orjson
import psutil
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from numpy.typing import NDArray

from deploy.local import children

START_SECONDS = 120.0
# It returns as soon as something comes; looking more often would take CPU from what is measured.
POLL_MS = 200
# kafka-python raises when its buffer (32 MB) is full.
UNACKNOWLEDGED = 10_000
URGENCIES = ("high", "medium", "low", "dead-letter")


@dataclass(frozen=True)
class Arrivals:
    """What a reader saw: when, in seconds of time.monotonic(), and which comment.

    times: [results], ascending
    numbers: [results], the comments' own
    """

    times: NDArray[np.float64]
    numbers: NDArray[np.int64]

    def after(self, seconds: float) -> "Arrivals":
        """Without what came in the first seconds.

        Raises:
            RuntimeError: no two lumps came later, and so there is no rate.
        """
        later = self.times >= self.times[0] + seconds
        if len(np.unique(self.times[later])) < 2:
            raise RuntimeError(f"fewer than two batches came after the first {seconds:g} s; measure longer")
        return Arrivals(self.times[later], self.numbers[later])

    @property
    def counted(self) -> NDArray[np.int64]:
        """The comments that came after the first lump: results come by batches, whole batches are counted."""
        return self.numbers[self.times > self.times[0]]

    @property
    def seconds(self) -> float:
        """How long those took."""
        return float(self.times[-1] - self.times[0])

    @property
    def rate(self) -> float:
        """Comments a second."""
        return len(self.counted) / self.seconds


def create(servers: str, *topics: str, partitions: int = 1) -> None:
    """Make topics and return once each has a leader."""
    with contextlib.closing(KafkaAdminClient(bootstrap_servers=servers)) as admin:
        wanted = {topic: {"num_partitions": partitions, "replication_factor": 1} for topic in topics}
        admin.create_topics(wanted, wait_for_metadata=True)


def preload(servers: str, topic: str, texts: Sequence[str], count: int, *, partitions: int = 6) -> None:
    """Make a topic with the texts in turn, as often as it takes; comment n is `{"n": n, "text": …}`.

    In every round a text goes to another partition, so that no partition has the longer ones.
    """
    create(servers, topic, partitions=partitions)
    producer = KafkaProducer(bootstrap_servers=servers, acks="all", linger_ms=20, batch_size=262_144)
    with contextlib.closing(producer):
        for number in range(count):
            turn, text = divmod(number, len(texts))
            value = orjson.dumps({"n": number, "text": texts[text]})
            partition = (turn + text) % partitions
            producer.send(topic, value, key=str(number).encode(), partition=partition)
            if number % UNACKNOWLEDGED == UNACKNOWLEDGED - 1:
                producer.flush()
        producer.flush()


def consumer_command(
    servers: str, bundle: Path, topic: str, prefix: str, *arguments: str, metrics_port: int = 0
) -> list[str]:
    """How a user starts the consumer; its metrics on a free port, unless that is named."""
    return [
        *("-m", "consumer", "--bundle", str(bundle), "--bootstrap-servers", servers),
        *("--input-topic", topic, "--output-prefix", prefix, "--group-id", f"{prefix}group"),
        *("--metrics-host", "127.0.0.1", "--metrics-port", str(metrics_port), *arguments),
    ]


def output_topics(prefix: str) -> list[str]:
    """Where the consumer publishes."""
    return [f"{prefix}{urgency}" for urgency in URGENCIES]


@contextlib.contextmanager
def running(arguments: Sequence[str], log: Path) -> Iterator[Popen[bytes]]:
    """A Python program while the block lasts, with what it says in a file."""
    with log.open("wb") as file:
        process = children.spawn([sys.executable, *arguments], output=file)
    try:
        yield process
    finally:
        children.stop(process)


@contextlib.contextmanager
def reading(servers: str, topics: Sequence[str]) -> Iterator[KafkaConsumer]:
    """A read_committed reader of topics that exist, from their beginning."""
    reader = KafkaConsumer(
        bootstrap_servers=servers,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        fetch_max_wait_ms=100,
        max_poll_records=20_000,
    )
    with contextlib.closing(reader):
        found = [TopicPartition(t, p) for t in topics for p in reader.partitions_for_topic(t) or ()]
        reader.assign(found)
        yield reader


def watch(
    reader: KafkaConsumer, process: Popen[bytes], log: Path, *, seconds: float, count: int | None = None
) -> Arrivals:
    """Read for that long, from the first result on, or until `count` have come."""
    times: list[float] = []
    values: list[bytes] = []
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and (count is None or len(values) < count):
        polled = reader.poll(POLL_MS)
        now = time.monotonic()
        if polled and not values:
            deadline = now + seconds
        for records in polled.values():
            values += [record.value for record in records]
            times += [now] * len(records)
        if process.poll() is not None:
            raise RuntimeError(f"{process.args} ended by itself:\n{log.read_text()[-2000:]}")
    if not values:
        raise RuntimeError(f"nothing came in {START_SECONDS:.0f} s:\n{log.read_text()[-2000:]}")
    numbers = [orjson.loads(value)["n"] for value in values]
    return Arrivals(np.array(times), np.array(numbers, dtype=np.int64))


def cpu_seconds(process: Popen[bytes]) -> float:
    """The CPU time that a program and its children have used."""
    root = psutil.Process(process.pid)
    return sum(sum(one.cpu_times()[:2]) for one in (root, *root.children(recursive=True)))


def table(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Rows as Markdown; the first column is text, the others are figures."""
    columns = list(rows[0])
    rules = ["---", *["---:"] * (len(columns) - 1)]
    lines = [columns, rules, *([row[column] for column in columns] for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]
