"""The port of /metrics: is it free, or does the service hold it already?"""

import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry

from consumer.doctor.finding import Finding, failed, ok, warn
from consumer.errors import PortTaken
from consumer.health import Pulse
from consumer.server import SERVER, address, serving
from consumer.settings import Settings

CHECK = "metrics port"
TIMEOUT_SECONDS: Final = 5.0


def check(settings: Settings) -> Iterator[Finding]:
    """Listen on the port for a moment, and ask whoever has it if that does not work."""
    host, port = settings.metrics_host, settings.metrics_port
    try:
        with serving(host, port, CollectorRegistry(), Pulse([0.0, 0.0], settings.stall_seconds)):
            yield ok(CHECK, f"{address(host, port)} is free" if port else "any that is free")
    except PortTaken as error:
        yield _holder(f"http://{address(host, port)}/readyz") or failed(CHECK, error)


def _holder(url: str) -> Finding | None:
    """What an urgency-router says that listens there, or None if it is none."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310  # it is http
            server, ready = answer.headers["Server"], True
    except urllib.error.HTTPError as error:
        server, ready = error.headers["Server"], False
    except (OSError, ValueError):
        return None
    if not str(server).startswith(SERVER):
        return None
    if ready:
        return ok(CHECK, "held by an urgency-router that runs here and is ready")
    return warn(CHECK, "held by an urgency-router that runs here and is not ready", "look at its log")
