"""A backlog older than what the topics written keep: Kafka deletes by the messages' own time."""

import json
import time
from collections.abc import Callable, Iterator

import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.consumer.fetcher import ConsumerRecord

from deploy.local.broker import Broker
from tests.conftest import comments
from tests.integration.conftest import Kafka, Message
from tests.integration.consumer.conftest import Consumer
from tests.integration.consumer.test_delivery import ends

Start = Callable[..., Consumer]

COUNT = 20
# Kafka's default retention is a week.
SENT_AT = (time.time_ns() // 1_000_000) - 180 * 24 * 3600 * 1000
SECONDS = 60.0


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """A broker that deletes what is too old within a second."""
    often = {
        "log.initial.task.delay.ms": "100",
        "log.retention.check.interval.ms": "200",
    }
    with Broker(settings=often) as broker:
        yield broker


@pytest.fixture(scope="module")
def kafka(broker: Broker) -> Kafka:
    """Topics, messages in and messages out, on that broker."""
    return Kafka(broker.bootstrap_servers)


@pytest.fixture
def backlog(kafka: Kafka, prefix: str) -> None:
    """Months ago: twenty comments and a message that holds none, in a topic that keeps them for ever."""
    kafka.create_topics(f"{prefix}comments")
    kafka.create_topics(*(f"{prefix}{n}" for n in ("high", "medium", "low", "dead-letter")), partitions=2)
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    try:
        admin.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, f"{prefix}comments", {"retention.ms": "-1"})]
        )
    finally:
        admin.close()
    values = [json.dumps({"number": n, "text": text}).encode() for n, text in enumerate(comments(COUNT))]
    kafka.produce(
        f"{prefix}comments",
        [
            Message(value, key=b"customer", timestamp_ms=SENT_AT + index)
            for index, value in enumerate([*values, b"no comment"])
        ],
    )


def let_kafka_delete(kafka: Kafka, partitions: set[TopicPartition]) -> None:
    """Write an old message to each of these empty partitions, and wait until Kafka has deleted it."""
    for partition in partitions:
        old = Message(b"old", partition=partition.partition, timestamp_ms=SENT_AT)
        kafka.produce(partition.topic, [old])
    reader = KafkaConsumer(bootstrap_servers=kafka.bootstrap_servers, group_id=None)
    try:
        deadline = time.monotonic() + SECONDS
        while (begin := reader.beginning_offsets(list(partitions))) != (
            end := reader.end_offsets(list(partitions))
        ):
            assert time.monotonic() < deadline, f"not deleted: {begin} to {end}"
            time.sleep(0.05)
    finally:
        reader.close()


def original(record: ConsumerRecord) -> int:
    """The time that the header keeps."""
    return int(dict(record.headers)["original-timestamp"])


@pytest.mark.usefixtures("backlog")
def test_results_of_an_old_backlog_outlive_retention(kafka: Kafka, prefix: str, start: Start) -> None:
    """Labelled messages and dead letters of old messages stay where Kafka deletes an old message at once."""
    consumer = start("--exit-at-end")
    assert consumer.wait() == 0
    published = kafka.read(*consumer.outputs, count=COUNT + 1)
    assert len(published) == COUNT + 1
    assert f"{prefix}dead-letter" in {record.topic for record in published}

    # The first pass may have begun before the consumer wrote; the second has not.
    beside = {TopicPartition(record.topic, 1 - record.partition) for record in published}
    let_kafka_delete(kafka, beside)
    let_kafka_delete(kafka, beside)

    kept = kafka.read(*consumer.outputs, count=COUNT + 1)
    assert sorted(map(original, kept)) == list(range(SENT_AT, SENT_AT + COUNT + 1))


@pytest.mark.usefixtures("backlog")
def test_without_the_limit_they_do_not(kafka: Kafka, start: Start) -> None:
    """With a --max-timestamp-age that lets old timestamps through, Kafka deletes every result."""
    consumer = start("--exit-at-end", "--max-timestamp-age", "1e10")

    assert consumer.wait() == 0

    assert ends(kafka, consumer, "read_uncommitted") > COUNT
    deadline = time.monotonic() + SECONDS
    while left := kafka.read(*consumer.outputs, count=0):
        assert time.monotonic() < deadline, f"{len(left)} messages left"
