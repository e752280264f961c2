"""An input topic that is deleted and made again: its offsets are those of other messages than before."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from kafka.admin import KafkaAdminClient

from consumer.errors import TransactionFailed
from tests.conftest import comments
from tests.integration.conftest import Kafka, Message
from tests.integration.consumer.conftest import Consumer
from tests.integration.consumer.test_delivery import committed, numbers
from tests.integration.consumer.test_pipeline import Loop, Publish, fail
from tests.integration.consumer.test_pipeline import loop as loop  # a fixture

Start = Callable[..., Consumer]

# The new topic holds more than the old one did, so that the old one's offsets are valid in it.
OLD, NEW = 100, 300


def produce(kafka: Kafka, prefix: str, first: int, count: int) -> None:
    """Send numbered comments to both partitions in turn."""
    values = [
        json.dumps({"number": number, "text": text}).encode()
        for number, text in enumerate(comments(count, seed=first), first)
    ]
    kafka.produce(
        f"{prefix}comments", [Message(value, partition=index % 2) for index, value in enumerate(values)]
    )


def make_again(kafka: Kafka, prefix: str) -> None:
    """Delete the input topic, make it again, and send new comments to it."""
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    try:
        admin.delete_topics([f"{prefix}comments"])
    finally:
        admin.close()
    kafka.create_topics(f"{prefix}comments", partitions=2)
    produce(kafka, prefix, OLD, NEW)


def assert_all_of_the_new_once(kafka: Kafka, outputs: list[str]) -> None:
    """Each comment of the new topic came out once, and none of the old one twice."""
    came = sorted(numbers(kafka.read(*outputs, count=NEW)))
    assert [number for number in came if number >= OLD] == list(range(OLD, OLD + NEW))
    old = [number for number in came if number < OLD]
    assert old == sorted(set(old))


@pytest.mark.parametrize("reset", ["earliest", "latest"])
def test_made_again_while_running(kafka: Kafka, prefix: str, start: Start, reset: str) -> None:
    """Under a running consumer the new topic is read from its beginning, and the log says so."""
    kafka.create_topics(f"{prefix}comments", partitions=2)
    consumer = start("--auto-offset-reset", reset)
    consumer.wait_ready()
    consumer.wait_until(
        lambda: sum("has no committed offset" in line for line in consumer.log_lines()) == 2, "at its start"
    )
    produce(kafka, prefix, 0, OLD)
    consumer.wait_until(lambda: committed(kafka, prefix) == OLD, "through with the old one")

    make_again(kafka, prefix)

    consumer.wait_until(lambda: committed(kafka, prefix) == NEW, "through with the new one")
    assert_all_of_the_new_once(kafka, consumer.outputs)
    assert any("deleted and made again" in line for line in consumer.log_lines())
    assert consumer.stop() == 0


# In the first transactions one partition is read, and later ones go on from both.
@pytest.mark.parametrize(("when", "at"), [("before", 1), ("after", 1), ("failing", 6)])
def test_made_again_in_mid_transaction(loop: Loop, kafka: Kafka, prefix: str, when: str, at: int) -> None:
    """Offsets of the old topic that were under way, or gone on from, do not count in the new one."""

    def meanwhile(real: Publish) -> Publish:
        def publish(*batch: Any) -> float:
            if when != "after":
                make_again(kafka, prefix)
            if when == "failing":
                raise TransactionFailed("injected")
            sent_at = real(*batch)
            if when == "after":
                make_again(kafka, prefix)
            return sent_at

        return publish

    # While old messages are at hand the client asks for no more, and hears of nothing.
    fail(loop.producer, at, meanwhile)

    loop.run()

    assert_all_of_the_new_once(kafka, loop.outputs)


def test_made_again_while_stopped(kafka: Kafka, prefix: str, start: Start) -> None:
    """A topic made again while no consumer runs is read from its beginning, and the log says from where."""
    kafka.create_topics(f"{prefix}comments", partitions=2)
    produce(kafka, prefix, 0, OLD)
    assert start("--exit-at-end").wait() == 0

    make_again(kafka, prefix)

    consumer = start("--exit-at-end")
    assert consumer.wait() == 0
    assert_all_of_the_new_once(kafka, consumer.outputs)
    assert f"{prefix}comments-0 has no committed offset: reading from 0" in " ".join(consumer.log_lines())
