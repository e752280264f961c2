"""Where reading begins when there is no committed offset, or when it is gone."""

import json
from collections.abc import Callable

import pytest
from kafka import TopicPartition
from kafka.admin import KafkaAdminClient

from tests.conftest import comments
from tests.integration.conftest import Kafka, Message
from tests.integration.consumer.conftest import Consumer
from tests.integration.consumer.test_delivery import committed, numbers

Start = Callable[..., Consumer]


def produce(kafka: Kafka, prefix: str, first: int, count: int) -> None:
    """Send numbered comments to partition 0."""
    values = [
        json.dumps({"number": number, "text": text}).encode()
        for number, text in enumerate(comments(count, seed=first), first)
    ]
    kafka.produce(f"{prefix}comments", [Message(value, partition=0) for value in values])


def delete_before(kafka: Kafka, prefix: str, offset: int) -> None:
    """Delete what lies before an offset, as retention does."""
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    try:
        admin.delete_records({TopicPartition(f"{prefix}comments", 0): offset})
    finally:
        admin.close()


@pytest.fixture
def eaten(kafka: Kafka, prefix: str, start: Start) -> None:
    """Ten comments read, forty more sent, of which Kafka has deleted the first thirty."""
    kafka.create_topics(f"{prefix}comments")
    produce(kafka, prefix, 0, 10)
    assert start("--exit-at-end").wait() == 0
    assert committed(kafka, prefix) == 10
    produce(kafka, prefix, 10, 40)
    delete_before(kafka, prefix, 40)


@pytest.mark.usefixtures("eaten")
def test_deleted_messages_are_counted_and_logged(kafka: Kafka, prefix: str, start: Start) -> None:
    """Where retention ate the committed offset, earliest goes on with what is left and counts the rest."""
    consumer = start()
    consumer.wait_ready()
    consumer.wait_until(lambda: committed(kafka, prefix) == 50, "through")

    assert sorted(numbers(kafka.read(*consumer.outputs, count=20))) == [*range(10), *range(40, 50)]
    assert consumer.metric("urgency_router_messages_skipped_total") == 30
    log = " ".join(consumer.log_lines())
    assert f"{prefix}comments-0 has no offset 10 any more, it holds 40 to 50: 30 messages" in log
    assert f"going on with {prefix}comments-0 at 40" in log


@pytest.mark.usefixtures("eaten")
def test_latest_leaves_out_the_rest_too_and_counts_it(kafka: Kafka, prefix: str, start: Start) -> None:
    """With latest what is left is left out as well, counted, and not read after a restart either."""
    consumer = start("--auto-offset-reset", "latest")
    consumer.wait_ready()
    consumer.wait_until(
        lambda: consumer.metric("urgency_router_messages_skipped_total") == 40, "counting what it left out"
    )
    consumer.stop()
    produce(kafka, prefix, 50, 3)

    assert start("--auto-offset-reset", "latest", "--exit-at-end").wait() == 0

    assert sorted(numbers(kafka.read(*consumer.outputs, count=13))) == [*range(10), *range(50, 53)]


@pytest.mark.usefixtures("eaten")
def test_none_ends_instead_of_going_on(kafka: Kafka, prefix: str, start: Start) -> None:
    """With none the loss ends the consumer with code 10, and the committed offset stays where it was."""
    consumer = start("--auto-offset-reset", "none")

    assert consumer.wait() == 10
    assert "--auto-offset-reset is none" in consumer.log_lines()[-1]
    assert committed(kafka, prefix) == 10


def test_none_needs_a_committed_offset(kafka: Kafka, prefix: str, start: Start) -> None:
    """With none a group that has never committed ends with code 10 at the start."""
    kafka.create_topics(f"{prefix}comments")

    consumer = start("--auto-offset-reset", "none")

    assert consumer.wait() == 10
    assert f"no committed offset for {prefix}comments-0" in consumer.log_lines()[-1]


def test_latest_starts_at_the_end_once(kafka: Kafka, prefix: str, start: Start) -> None:
    """With latest a new group starts at the end, and what comes while it is away afterwards is read."""
    kafka.create_topics(f"{prefix}comments")
    produce(kafka, prefix, 0, 5)
    first = start("--auto-offset-reset", "latest")
    first.wait_ready()
    first.wait_until(lambda: "reading from 5" in " ".join(first.log_lines()), "at the end")
    assert first.stop() == 0
    produce(kafka, prefix, 5, 5)

    assert start("--auto-offset-reset", "latest", "--exit-at-end").wait() == 0

    assert sorted(numbers(kafka.read(*first.outputs, count=5))) == [*range(5, 10)]
