"""A probe of /livez tells a loop that is stuck from one that works or waits."""

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from consumer import settings
from consumer.labeller import Labeller
from consumer.serve import run
from consumer.transactions import TransactionalProducer
from deploy.local.broker import free_port
from tests.integration.conftest import Kafka
from tests.integration.consumer.conftest import URGENCIES
from tests.integration.consumer.test_delivery import assert_each_once, numbered

SECONDS = 60.0


class Stuck:
    """A function that does not return before it is released."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.released = threading.Event()

    def before(self, real: Callable[..., Any]) -> Callable[..., Any]:
        """The function, stuck first."""

        def stuck(*arguments: Any) -> Any:
            self.entered.set()
            self.released.wait()
            return real(*arguments)

        return stuck


def status(port: int, path: str) -> int:
    """What a probe gets."""
    try:
        return int(urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10).status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def wait_for(port: int, path: str, expected: int) -> None:
    """Return once the probe gets that answer."""
    deadline = time.monotonic() + SECONDS
    while (got := status(port, path)) != expected:
        assert time.monotonic() < deadline, f"{path} still answers {got}, not {expected}"
        time.sleep(0.02)


@pytest.fixture
def port(kafka: Kafka, prefix: str, tiny_bundle: Path) -> Iterator[int]:
    """The HTTP port of a consumer that runs in this process."""
    kafka.create_topics(f"{prefix}comments")
    port = free_port()
    arguments = ["--bundle", str(tiny_bundle), "--bootstrap-servers", kafka.bootstrap_servers]
    arguments += ["--group-id", f"{prefix}group", "--input-topic", f"{prefix}comments"]
    arguments += ["--output-prefix", prefix, "--create-topics", "--threads", "1"]
    arguments += ["--metrics-host", "127.0.0.1", "--metrics-port", str(port)]
    arguments += ["--session-timeout-seconds", "6", "--transaction-timeout-seconds", "1"]
    stop = threading.Event()
    # Shorter than is allowed, so that one need not wait for it.
    parsed = settings.parse(arguments).model_copy(update={"stall_seconds": 3.5})
    thread = threading.Thread(target=run, args=(parsed, stop))
    thread.start()
    try:
        yield port
    finally:
        stop.set()
        thread.join(SECONDS)
        assert not thread.is_alive()


@pytest.mark.parametrize(
    ("part", "function"), [(TransactionalProducer, "publish"), (Labeller, "label")], ids=["loop", "device"]
)
def test_stuck_part_fails_the_probe(
    kafka: Kafka, prefix: str, port: int, monkeypatch: pytest.MonkeyPatch, part: type, function: str
) -> None:
    """A loop that is stuck, or that turns around a device that is, fails /livez until it goes on."""
    stuck = Stuck()
    monkeypatch.setattr(part, function, stuck.before(getattr(part, function)))
    try:
        wait_for(port, "/readyz", 200)
        kafka.produce(f"{prefix}comments", numbered(20))
        assert stuck.entered.wait(SECONDS)
        assert status(port, "/livez") == 200

        wait_for(port, "/livez", 503)
        assert status(port, "/readyz") == 200, "Kafka's part is not stuck"
    finally:
        stuck.released.set()
    wait_for(port, "/livez", 200)
    assert_each_once(kafka.read(*(f"{prefix}{urgency}" for urgency in URGENCIES), count=20), 20)
