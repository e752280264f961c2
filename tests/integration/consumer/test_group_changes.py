"""A group that changes under the work: storms, members thrown out, topics that grow."""

import json
import threading
import time
from collections.abc import Callable
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer
from kafka.admin import KafkaAdminClient
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

from tests.integration.conftest import Kafka, Message
from tests.integration.consumer.conftest import Consumer
from tests.integration.consumer.test_delivery import (
    assert_each_once,
    committed,
    has_partitions,
    numbered,
)
from tests.integration.consumer.test_pipeline import Loop, Publish, fail
from tests.integration.consumer.test_pipeline import loop as loop  # a fixture

Start = Callable[..., Consumer]

STORM_REBALANCES = 10
SECONDS = 60.0
# A Kafka is called silent after two heartbeats of 2 s and a second more.
HELD_UP_SECONDS = 16


def member(kafka: Kafka, prefix: str, **more: int) -> KafkaConsumer:
    """A member of the group that reads and commits nothing by itself."""
    return KafkaConsumer(
        f"{prefix}comments",
        bootstrap_servers=kafka.bootstrap_servers,
        group_id=f"{prefix}group",
        enable_auto_commit=False,
        auto_offset_reset="none",
        partition_assignment_strategy=[CooperativeStickyAssignor()],
        **more,
    )


def visit(kafka: Kafka, prefix: str) -> None:
    """Join the group, stay for a moment, and leave, having read and committed nothing."""
    guest = member(kafka, prefix, session_timeout_ms=6000, heartbeat_interval_ms=2000)
    try:
        guest._coordinator.ensure_active_group(timeout_ms=300)
    finally:
        guest.close()


def rebalances(consumer: Consumer) -> float:
    """How many generations of the group the consumer has joined."""
    return consumer.metric("urgency_router_rebalances_total")


def test_rebalance_storm(kafka: Kafka, prefix: str, start: Start) -> None:
    """While members join and leave several times a second, each comment comes out once, in order per key."""
    kafka.create_topics(f"{prefix}comments", partitions=6)
    both = [start("--max-batch-messages", "50") for _ in range(2)]
    for consumer in both:
        consumer.wait_ready()
        consumer.wait_until(partial(has_partitions, consumer, 3), "sharing the partitions")
    before = sum(map(rebalances, both))
    calm = threading.Event()
    sent = 0

    def storm() -> None:
        while not calm.is_set():
            visit(kafka, prefix)

    guests = threading.Thread(target=storm)
    guests.start()
    try:
        deadline = time.monotonic() + SECONDS
        while sum(map(rebalances, both)) < before + STORM_REBALANCES:
            assert time.monotonic() < deadline, [consumer.log_lines() for consumer in both]
            kafka.produce(f"{prefix}comments", numbered(200, start=sent))
            sent += 200
    finally:
        calm.set()
        guests.join()

    both[0].wait_until(lambda: committed(kafka, prefix) == sent, "through")
    assert_each_once(kafka.read(*both[0].outputs, count=sent), sent)
    assert sum(consumer.metric("urgency_router_messages_discarded_total") for consumer in both) > 0
    assert [consumer.stop() for consumer in both] == [0, 0]


def test_a_join_held_up_is_no_silence(kafka: Kafka, prefix: str, start: Start) -> None:
    """A member whose join another holds up sends no heartbeat meanwhile, and does not say Kafka is away."""
    consumer = start()
    consumer.wait_ready()
    laggard = member(kafka, prefix, max_poll_interval_ms=HELD_UP_SECONDS * 1000)
    try:
        consumer.wait_until(
            lambda: laggard._coordinator.ensure_active_group(timeout_ms=100), "joined by another"
        )
        before = rebalances(consumer)
        begun = time.monotonic()
        # The group waits for the laggard, which beats on but joins no more.
        visit(kafka, prefix)
        consumer.wait_until(lambda: rebalances(consumer) > before, "in the next generation")
        held_up = time.monotonic() - begun
        # Said together with whether Kafka is silent, once the laggard is out.
        consumer.wait_until(partial(has_partitions, consumer, 6), "alone")
    finally:
        laggard.close()
    assert held_up > HELD_UP_SECONDS / 2
    assert [line for line in consumer.log_lines() if "heartbeat" in line] == []


def members(kafka: Kafka, group: str) -> int:
    """How many members the group has."""
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    try:
        return len(admin.describe_groups([group])[group]["members"])
    finally:
        admin.close()


@pytest.mark.parametrize("joining", [False, True])
def test_publish_longer_than_the_poll_interval(
    loop: Loop, kafka: Kafka, prefix: str, tiny_bundle: Path, joining: bool
) -> None:
    """A loop thrown out for not polling publishes nothing that another has taken over, and joins again.

    kafka-python gives up the partitions of a member that was thrown out when it begins to join, so not if it
    was joining already.
    """
    loop.settings = loop.settings.model_copy(update={"max_poll_interval_seconds": 1.0})

    def until_thrown_out(real: Publish) -> Publish:
        def publish(*batch: Any) -> float:
            deadline = time.monotonic() + SECONDS
            while members(kafka, f"{prefix}group"):
                assert time.monotonic() < deadline
            Loop(kafka, prefix, tiny_bundle).run()
            loop.consumer._coordinator.rejoining = joining
            return real(*batch)

        return publish

    fail(loop.producer, 2, until_thrown_out)

    loop.run()

    records = kafka.read(*loop.outputs, count=100)
    assert sorted(json.loads(record.value)["number"] for record in records) == list(range(100))
    sample = loop.metrics.registry.get_sample_value
    assert sample("urgency_router_rebalances_total") > 1
    assert sample("urgency_router_messages_discarded_total")


@pytest.mark.parametrize("reset", ["earliest", "latest"])
def test_added_partitions_are_read_from_their_beginning(
    kafka: Kafka, prefix: str, start: Start, reset: str
) -> None:
    """Partitions added under a running consumer are found, and none of what they already hold is skipped."""
    kafka.create_topics(f"{prefix}comments")
    consumer = start("--metadata-max-age-seconds", "1", "--auto-offset-reset", reset)
    consumer.wait_ready()
    consumer.wait_until(
        lambda: any("has no committed offset" in line for line in consumer.log_lines()), "at its start"
    )

    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    try:
        admin.create_partitions({f"{prefix}comments": 3})
    finally:
        admin.close()
    kafka.produce(
        f"{prefix}comments",
        [
            Message(message.value, key=bytes([partition]), partition=partition)
            for partition, message in zip(cycle(range(3)), numbered(60), strict=False)
        ],
    )

    consumer.wait_until(lambda: committed(kafka, prefix) == 60, "through")
    assert_each_once(kafka.read(*consumer.outputs, count=60), 60)
    assert consumer.stop() == 0
