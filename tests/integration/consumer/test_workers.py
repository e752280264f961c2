"""Several consumers under one supervisor: --workers N."""

import contextlib
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil

from tests.integration.conftest import Kafka
from tests.integration.consumer.conftest import Consumer
from tests.integration.consumer.test_delivery import assert_each_once, committed, numbered

Start = Callable[..., Consumer]


def workers_of(consumer: Consumer) -> list[psutil.Process]:
    """The supervisor's workers, oldest first."""
    workers = []
    for child in psutil.Process(consumer.process.pid).children():
        with contextlib.suppress(psutil.Error):
            if "spawn_main" in " ".join(child.cmdline()):
                workers.append(child)
    return sorted(workers, key=lambda worker: worker.create_time())


def has_two(consumer: Consumer, worker: str) -> bool:
    """Whether the worker has said that it has two partitions."""
    return any(worker in line and "2 partitions" in line for line in consumer.raw_log())


def test_workers_share_the_partitions(kafka: Kafka, prefix: str, start: Start) -> None:
    """Each comment comes out once, /metrics counts what all have done, and SIGTERM drains all."""
    kafka.create_topics(f"{prefix}comments", partitions=4)
    consumer = start("--workers", "2")
    consumer.wait_ready()
    for worker in ("worker-0", "worker-1"):
        consumer.wait_until(partial(has_two, consumer, worker), f"sharing with {worker}")
    kafka.produce(f"{prefix}comments", numbered(2000))

    assert_each_once(kafka.read(*consumer.outputs, count=2000), 2000)
    assert consumer.metric("urgency_router_messages_labelled_total") == 2000
    assert consumer.metric("urgency_router_delay_seconds_count") == 2000
    consumer.wait_until(lambda: consumer.metric("urgency_router_ready") == 1, "ready")
    assert len(workers_of(consumer)) == 2
    assert consumer.stop() == 0
    assert committed(kafka, prefix) == 2000


def test_dead_worker_is_started_again(kafka: Kafka, prefix: str, start: Start) -> None:
    """After kill -9 of a worker another takes its place, and each comment still comes out once."""
    kafka.create_topics(f"{prefix}comments", partitions=4)
    consumer = start("--workers", "2")
    consumer.wait_ready()
    kafka.produce(f"{prefix}comments", numbered(3000))
    consumer.wait_until(lambda: committed(kafka, prefix) > 0, "labelling")
    victim = workers_of(consumer)[0]

    victim.kill()

    consumer.wait_until(lambda: victim not in workers_of(consumer), "rid of the dead worker")
    kafka.produce(f"{prefix}comments", numbered(1000, start=3000))
    assert_each_once(kafka.read(*consumer.outputs, count=4000), 4000)
    consumer.wait_until(lambda: len(workers_of(consumer)) == 2, "whole again")
    consumer.wait_until(lambda: consumer.metric("urgency_router_ready") == 1, "ready again")
    assert any("ended with code -9; starting it again" in line for line in consumer.log_lines())
    assert consumer.stop() == 0


def test_cause_that_a_person_must_mend_ends_all(prefix: str, start: Start, tmp_path: Path) -> None:
    """Workers that cannot start for a cause with an exit code of its own are not started again."""
    consumer = start("--workers", "2", bundle=tmp_path)

    assert consumer.wait() == 3
    assert not any("starting it again" in line for line in consumer.log_lines())


def test_workers_do_not_outlive_the_supervisor(kafka: Kafka, prefix: str, start: Start) -> None:
    """When the supervisor is killed, its workers give back what is in flight and end."""
    kafka.create_topics(f"{prefix}comments", partitions=4)
    consumer = start("--workers", "2")
    consumer.wait_ready()
    orphans = workers_of(consumer)
    assert len(orphans) == 2

    os.kill(consumer.process.pid, signal.SIGKILL)

    gone, alive = psutil.wait_procs(orphans, timeout=30)
    assert not alive
    assert len(gone) == 2


def test_all_end_at_the_end(kafka: Kafka, prefix: str, start: Start) -> None:
    """With --exit-at-end the supervisor ends with 0 once every worker has caught up."""
    kafka.create_topics(f"{prefix}comments", partitions=4)
    kafka.produce(f"{prefix}comments", numbered(500))

    consumer = start("--workers", "2", "--exit-at-end")

    assert consumer.wait() == 0
    assert_each_once(kafka.read(*consumer.outputs, count=500), 500)
