"""A consumer that is told to end while Kafka answers nothing ends in the time that a cluster must give it."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumer import settings
from deploy.local.broker import Broker
from tests import drain
from tests.integration.conftest import Kafka
from tests.integration.consumer.conftest import Consumer
from tests.integration.consumer.test_delivery import numbered

# More than are published before Kafka stands still.
BACKLOG = 20_000


@pytest.fixture
def broker() -> Iterator[Broker]:
    """A broker of this test's own, to be held."""
    with Broker() as broker:
        yield broker


def test_drain_ends_in_time(broker: Broker, tiny_bundle: Path, prefix: str, tmp_path: Path) -> None:
    """With a batch on the device and another in a transaction that Kafka leaves unanswered, it still ends."""
    kafka = Kafka(broker.bootstrap_servers)
    consumer = Consumer(kafka, tiny_bundle, prefix, tmp_path / "log", "--max-batch-messages", "500")
    given = ["--bundle", "b", "--bootstrap-servers", "b:1", "--transaction-timeout-seconds", "3"]
    longest = drain.longest_seconds(settings.parse(given))
    try:
        consumer.wait_ready()
        kafka.produce(f"{prefix}comments", numbered(BACKLOG))
        consumer.wait_until(lambda: consumer.metric("urgency_router_batch_messages_count") > 0, "at work")
        assert broker.pid
        os.kill(broker.pid, signal.SIGSTOP)
        started = time.monotonic()
        consumer.process.send_signal(signal.SIGTERM)

        assert consumer.wait(2 * longest) == 0
        assert time.monotonic() - started < longest
    finally:
        os.kill(broker.pid or 0, signal.SIGCONT)
        if consumer.process.poll() is None:
            consumer.kill()
