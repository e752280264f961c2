"""Kafka away for a while: consumers wait, say so, stay alive, and go on by themselves."""

import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from consumer.settings import WAIT_SECONDS
from deploy.local.broker import Broker
from tests.integration.conftest import Kafka
from tests.integration.consumer.conftest import Consumer
from tests.integration.consumer.test_delivery import (
    assert_each_once,
    committed,
    numbered,
    wait_for_uncommitted,
)
from tests.integration.consumer.test_pipeline import Loop, Publish, fail
from tests.integration.consumer.test_pipeline import loop as loop  # a fixture

# Longer than every time limit of the consumers here, that of /livez included. A real one: 120.
OUTAGE_SECONDS = float(os.environ.get("CHAOS_OUTAGE_SECONDS", "24"))
STALL_SECONDS = 4 + WAIT_SECONDS
BACK_SECONDS = 60.0
BACKLOG = 6000


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """A broker of these tests' own, to be killed."""
    with Broker() as broker:
        yield broker


@pytest.fixture(scope="module")
def kafka(broker: Broker) -> Kafka:
    """Topics, messages in and messages out, on that broker."""
    return Kafka(broker.bootstrap_servers)


@pytest.fixture
def start(kafka: Kafka, tiny_bundle: Path, tmp_path: Path) -> Iterator[Callable[[str], Consumer]]:
    """Start a consumer of the topics with this prefix."""
    started: list[Consumer] = []

    def start_one(prefix: str) -> Consumer:
        arguments = ["--stall-seconds", str(STALL_SECONDS), "--max-batch-messages", "500"]
        # Nobody is killed here, and who is thrown out for a slow heartbeat tells nothing of a silent Kafka.
        arguments += ["--session-timeout-seconds", "30"]
        consumer = Consumer(kafka, tiny_bundle, prefix, tmp_path / f"{prefix}log", *arguments)
        started.append(consumer)
        return consumer

    yield start_one
    for consumer in started:
        if consumer.process.poll() is None:
            consumer.kill()


def status(consumer: Consumer, path: str) -> int:
    """What a probe gets."""
    try:
        return int(urllib.request.urlopen(f"{consumer._base()}{path}", timeout=10).status)
    except urllib.error.HTTPError as error:
        return error.code


def is_ready(consumer: Consumer) -> bool:
    """Whether it labels, or would."""
    return status(consumer, "/readyz") == 200


def says(consumer: Consumer, words: str) -> bool:
    """Whether a line of the log holds these words."""
    return any(words in line for line in consumer.log_lines())


@pytest.mark.timeout(300 + 2 * OUTAGE_SECONDS)
def test_outage(broker: Broker, kafka: Kafka, start: Callable[[str], Consumer]) -> None:
    """In a transaction, idle or starting: each waits alive and not ready, and goes on; each comment once."""
    kafka.create_topics("busy.comments", "idle.comments", "starting.comments", partitions=3)
    busy, idle = start("busy."), start("idle.")
    kafka.produce("idle.comments", numbered(20))
    idle.wait_ready()
    idle.wait_until(lambda: committed(kafka, "idle.") == 20, "idle")
    busy.wait_ready()
    kafka.produce("busy.comments", numbered(BACKLOG))
    wait_for_uncommitted(kafka, busy)

    # Not killed: coming back from that, a lone Kafka may leave out the abort marker of a transaction that was
    # open, and commits its records with the next one.
    broker.stop()
    back_at = time.monotonic() + OUTAGE_SECONDS
    starting = start("starting.")
    starting.wait_until(lambda: bool(starting._ports()), "listening")
    waiting = {
        busy: "Kafka does not answer",
        idle: "Kafka has taken no heartbeat",
        starting: "no answer from Kafka",
    }
    while time.monotonic() < back_at:
        for consumer in waiting:
            assert status(consumer, "/livez") == 200, consumer.log_lines()
        time.sleep(0.1)
    for consumer, words in waiting.items():
        assert status(consumer, "/readyz") == 503, consumer.log_lines()
        assert says(consumer, words), "\n".join(consumer.log_lines())

    broker.start()
    for consumer in waiting:
        consumer.wait_until(partial(is_ready, consumer), "ready again", BACK_SECONDS)
        assert status(consumer, "/livez") == 200
    kafka.produce("idle.comments", numbered(20, start=20))
    kafka.produce("starting.comments", numbered(20))

    busy.wait_until(lambda: committed(kafka, "busy.") == BACKLOG, "through the backlog")
    assert busy.metric("urgency_router_messages_discarded_total") > 0, "nothing was in flight"
    assert says(idle, "Kafka answers again")
    for consumer, count in ((busy, BACKLOG), (idle, 40), (starting, 20)):
        assert_each_once(kafka.read(*consumer.outputs, count=count), count)
        assert consumer.stop() == 0


def test_end_while_kafka_is_away(broker: Broker, loop: Loop) -> None:
    """Told to stop as Kafka goes away, the loop gives back what the device computes, and ends as ever."""
    stop = threading.Event()

    def last(real: Publish) -> Publish:
        def publish(*batch: Any) -> float:
            sent_at = real(*batch)
            broker.kill()
            stop.set()
            return sent_at

        return publish

    fail(loop.producer, 2, last)

    with loop.pipeline() as pipeline:
        pipeline.run(stop, exit_at_end=False)

    committed = {"outcome": "committed"}
    assert loop.metrics.registry.get_sample_value("urgency_router_transactions_total", committed) == 3
