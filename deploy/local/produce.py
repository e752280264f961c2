"""A file of reviews -> the input topic, one JSON object a comment."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import orjson
from kafka import KafkaAdminClient, KafkaProducer
from kafka.producer.future import FutureRecordMetadata

from consumer.transactions import let_go
from deploy.local.errors import TopicsMissing
from finetune.data import TEXT_COLUMN, read_rows

BATCH = 500
# kafka-python raises when its buffer (32 MB) is full: let Kafka catch up before that.
UNACKNOWLEDGED = 5_000
ACKNOWLEDGE_SECONDS = 60.0
ANSWER_MS = 10_000  # for the first answer of a broker


@dataclass(frozen=True, slots=True)
class Comment:
    """A record for the input topic."""

    key: bytes
    value: bytes


def read_comments(
    path: Path, skipped: Counter[str], *, text_column: str = TEXT_COLUMN, key_column: str = "review_id"
) -> Iterator[Comment]:
    """The comments of a TSV, CSV, JSON Lines or Parquet file, as it is read.

    The value is ``{"text": …}`` with the file's other columns beside it; the key is the column `key_column`
    if it has something, else the number of the row, from 1. Rows without text are left out and counted in
    `skipped` by their reason. Raises `finetune.errors.DataError` for a file it cannot read.
    """
    for number, row in enumerate(read_rows(path, text_column=text_column, label_column=None), start=1):
        if row.problem:
            skipped[row.problem] += 1
            continue
        key = row.columns.get(key_column) or number
        value = orjson.dumps({**row.columns, "text": row.text}, default=str)
        yield Comment(str(key).encode(), value)


def paced(comments: Iterable[Comment], rate: float | None) -> Iterator[list[Comment]]:
    """Batches of what is due by now: `rate` comments a second, or None for as many as can be sent.

    A batch is empty when nothing is due yet; the caller has something better to do than sleep.
    """
    comments = iter(comments)
    start = time.monotonic()
    taken = 0
    while True:
        due = BATCH if rate is None else min(BATCH, int((time.monotonic() - start) * rate) + 1 - taken)
        batch = list(islice(comments, max(0, due)))
        if due > 0 and not batch:
            return
        taken += len(batch)
        yield batch


class Sender:
    """Sends comments to a topic and raises `KafkaError` unless the broker acknowledges each."""

    def __init__(self, bootstrap_servers: str, topic: str) -> None:
        """Connect. Raises `TopicsMissing`, or `KafkaError` if no broker answers in time."""
        _require_topic(bootstrap_servers, topic)
        self._topic = topic
        self._producer = KafkaProducer(
            bootstrap_servers=bootstrap_servers, acks="all", linger_ms=20, batch_size=262_144
        )
        self._unacknowledged: list[FutureRecordMetadata] = []

    def send(self, comments: Sequence[Comment]) -> None:
        """Send the comments, soon."""
        for comment in comments:
            self._unacknowledged.append(self._producer.send(self._topic, comment.value, key=comment.key))
        if len(self._unacknowledged) >= UNACKNOWLEDGED:
            self.flush()

    def flush(self) -> None:
        """Return once the broker has acknowledged everything sent."""
        self._producer.flush(ACKNOWLEDGE_SECONDS)
        for future in self._unacknowledged:
            future.get(ACKNOWLEDGE_SECONDS)
        self._unacknowledged.clear()

    def close(self) -> None:
        """Drop what is not sent yet and leave."""
        let_go(self._producer)


def _require_topic(bootstrap_servers: str, topic: str) -> None:
    """A producer would wait a minute for a topic that does not exist."""
    admin = KafkaAdminClient(bootstrap_servers=bootstrap_servers, bootstrap_timeout_ms=ANSWER_MS)
    try:
        if topic not in admin.list_topics():
            raise TopicsMissing(
                f"There is no topic {topic} on {bootstrap_servers}: "
                "start the consumer with --create-topics first, or correct --topic."
            )
    finally:
        admin.close()
