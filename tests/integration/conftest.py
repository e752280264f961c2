"""One real broker for the whole test session, and what a test does with it."""

import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.consumer.fetcher import ConsumerRecord

from deploy.local.broker import Broker

Headers = Sequence[tuple[str, bytes]]


@dataclass(frozen=True)
class Message:
    """What a test sends; `partition` None leaves the choice to the key's hash."""

    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()
    timestamp_ms: int | None = None
    partition: int | None = None


class Kafka:
    """Topics, messages in and messages out, on one broker."""

    def __init__(self, bootstrap_servers: str) -> None:
        self.bootstrap_servers = bootstrap_servers

    def create_topics(self, *names: str, partitions: int = 1) -> None:
        """Create the topics and return once each has a leader."""
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap_servers)
        try:
            admin.create_topics(
                {name: {"num_partitions": partitions, "replication_factor": 1} for name in names},
                wait_for_metadata=True,
            )
        finally:
            admin.close()

    def topics(self) -> set[str]:
        """The names of all topics of the broker."""
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap_servers)
        try:
            return set(admin.list_topics())
        finally:
            admin.close()

    def produce(self, topic: str, messages: Iterable[Message]) -> None:
        """Send the messages in order, and return once the broker has acknowledged every one."""
        producer = KafkaProducer(bootstrap_servers=self.bootstrap_servers, linger_ms=5)
        try:
            futures = [
                producer.send(
                    topic,
                    value=message.value,
                    key=message.key,
                    headers=list(message.headers),
                    partition=message.partition,
                    timestamp_ms=message.timestamp_ms,
                )
                for message in messages
            ]
            producer.flush(30)
            for future in futures:
                future.get(30)
        finally:
            producer.close()

    def read(self, *topics: str, count: int, seconds: float = 60.0) -> list[ConsumerRecord]:
        """The committed records of the topics, in order per partition.

        Returns once at least `count` have come and no more can: nothing is left that is committed or may yet
        be, so that one too many is seen too. The broker says that a transaction is committed before each of
        its partitions shows it. At the deadline, returns what has come.
        """
        consumer = KafkaConsumer(
            bootstrap_servers=self.bootstrap_servers,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            fetch_max_wait_ms=100,
        )
        ends = KafkaConsumer(bootstrap_servers=self.bootstrap_servers, isolation_level="read_uncommitted")
        try:
            partitions = [
                TopicPartition(topic, partition)
                for topic in topics
                for partition in consumer.partitions_for_topic(topic) or ()
            ]
            consumer.assign(partitions)
            records: list[ConsumerRecord] = []
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                for batch in consumer.poll(timeout_ms=100).values():
                    records += batch
                if len(records) >= count and all(
                    consumer.position(partition) >= end
                    for partition, end in ends.end_offsets(partitions).items()
                ):
                    break
            return records
        finally:
            consumer.close()
            ends.close()


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """A broker on a free port for the whole session: do not stop it, start your own for that."""
    with Broker() as broker:
        yield broker


@pytest.fixture(scope="session")
def kafka(broker: Broker) -> Kafka:
    """Topics, messages in and messages out, on the session's broker."""
    return Kafka(broker.bootstrap_servers)


@pytest.fixture
def prefix() -> str:
    """A start for the names of this test's topics, groups and transactions, used by no other test."""
    return f"t{uuid.uuid4().hex[:12]}."
