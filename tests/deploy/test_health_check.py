"""The consumer's health check in a container."""

import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from consumer.server import serving
from deploy.local.broker import free_port

HEALTH_CHECK = Path(__file__).parents[2] / "deploy" / "docker" / "health_check.py"


@dataclass(frozen=True)
class Probed:
    """A consumer's pulse."""

    live: bool
    ready: bool = False


def check(port: int) -> int:
    """Run the health check against a port, behind a proxy that does not exist; its exit code."""
    variables = {"CONSUMER_METRICS_PORT": str(port), "http_proxy": "http://127.0.0.1:1"}
    return subprocess.run([sys.executable, HEALTH_CHECK], env=variables, check=False, timeout=30).returncode


@pytest.mark.parametrize(("live", "code"), [(True, 0), (False, 1)])
def test_health_is_that_of_the_loop(live: bool, code: int) -> None:
    """A turning loop is healthy, even one that waits for Kafka and is not ready; a stuck one is not."""
    with serving("127.0.0.1", 0, CollectorRegistry(), Probed(live)) as port:
        assert check(port) == code


def test_nobody_is_not_healthy() -> None:
    """Where nothing listens, the check fails."""
    assert check(free_port()) == 1


def test_silence_is_not_healthy() -> None:
    """Where a connection gets no answer, the check fails by itself within seconds."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert check(silent.getsockname()[1]) == 1
