"""/metrics, /livez and /readyz."""

import socket
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from consumer.errors import PortTaken
from consumer.metrics import Metrics
from consumer.server import Health, serving


@pytest.fixture
def health() -> Health:
    """A loop that counts as stuck after a minute."""
    return Health(Metrics(), stall_seconds=60.0)


@pytest.fixture
def base(health: Health) -> Iterator[str]:
    """The server's address."""
    with serving("127.0.0.1", 0, Metrics(), health) as port:
        yield f"http://127.0.0.1:{port}"


def status(url: str) -> int:
    """The status that a GET is answered with."""
    try:
        return int(urllib.request.urlopen(url, timeout=10).status)
    except urllib.error.HTTPError as error:
        return error.code


def test_metrics_parse(base: str) -> None:
    """/metrics is what Prometheus reads, and every name has the prefix."""
    page = urllib.request.urlopen(f"{base}/metrics", timeout=10).read().decode()

    families = list(text_string_to_metric_families(page))
    assert families
    assert all(family.name.startswith("urgency_router_") for family in families)


def test_ready_follows_the_loop(base: str, health: Health) -> None:
    """/readyz answers 503 until the loop labels, 200 while it does, and 503 again after."""
    assert status(f"{base}/readyz") == 503
    health.set_ready(True)
    assert status(f"{base}/readyz") == 200
    health.set_ready(False)
    assert status(f"{base}/readyz") == 503


def test_live_until_the_loop_is_silent_too_long() -> None:
    """/livez answers 200 while the loop beats, and 503 once it has been silent for longer than allowed."""
    stuck = Health(Metrics(), stall_seconds=0.0)
    turning = Health(Metrics(), stall_seconds=60.0)
    with serving("127.0.0.1", 0, Metrics(), stuck) as port:
        assert status(f"http://127.0.0.1:{port}/livez") == 503
    with serving("127.0.0.1", 0, Metrics(), turning) as port:
        assert status(f"http://127.0.0.1:{port}/livez") == 200


def test_nothing_else_is_served(base: str) -> None:
    """Any other path is not found."""
    assert [status(f"{base}{path}") for path in ("/", "/metrics/x", "/../livez")] == [404, 404, 404]


def test_taken_port_is_explained() -> None:
    """A taken port is refused in one sentence that names it and the flag."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with (
            pytest.raises(PortTaken, match=rf"127\.0\.0\.1:{port}.*--metrics-port"),
            serving("127.0.0.1", port, Metrics(), Health(Metrics(), 60.0)),
        ):
            pass
