"""/metrics, /livez and /readyz over HTTP."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from consumer.errors import PortTaken
from consumer.metrics import Metrics

CLIENT_TIMEOUT_SECONDS = 10


class Health:
    """What the probes ask: is the loop turning, and is it labelling?"""

    def __init__(self, metrics: Metrics, stall_seconds: float) -> None:
        """Start alive and not ready.

        Args:
            metrics: its `ready` gauge follows.
            stall_seconds: a loop silent for longer counts as stuck, seconds.
        """
        self._metrics = metrics
        self._stall_seconds = stall_seconds
        self._last_beat = time.monotonic()
        self._ready = False

    def beat(self) -> None:
        """Say that the loop is turning."""
        self._last_beat = time.monotonic()

    def set_ready(self, ready: bool) -> None:
        """Say whether comments are being labelled."""
        self._ready = ready
        self._metrics.ready.set(ready)

    @property
    def live(self) -> bool:
        """False once the loop has been silent for too long: restart the process."""
        return time.monotonic() - self._last_beat < self._stall_seconds

    @property
    def ready(self) -> bool:
        """True while the model has proved itself and the group is joined."""
        return self._ready


@contextmanager
def serving(host: str, port: int, metrics: Metrics, health: Health) -> Iterator[int]:
    """Answer HTTP on a thread of its own, and give the port (useful with port 0).

    Raises:
        PortTaken: the port cannot be listened on.
    """
    handler = type("Handler", (_Handler,), {"metrics": metrics, "health": health})
    try:
        server = _Server((host, port), handler)
    except OSError as error:
        raise PortTaken(
            f"cannot listen on {host}:{port} for /metrics: {error.strerror};"
            " stop what holds the port, or choose another with --metrics-port"
        ) from None
    thread = threading.Thread(target=server.serve_forever, name="http", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Waiting for slow clients at the end would hold up the exit.
    block_on_close = False


class _Handler(BaseHTTPRequestHandler):
    metrics: Metrics
    health: Health
    timeout = CLIENT_TIMEOUT_SECONDS
    server_version = "urgency-router"
    sys_version = ""

    def do_GET(self) -> None:
        if self.path == "/metrics":
            self._answer(HTTPStatus.OK, generate_latest(self.metrics.registry), CONTENT_TYPE_LATEST)
        elif self.path == "/livez":
            self._probe(self.health.live, "the loop is turning", "the loop is stuck")
        elif self.path == "/readyz":
            self._probe(self.health.ready, "labelling", "not labelling yet, or no more")
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"only /metrics, /livez and /readyz are here\n")

    def _probe(self, good: bool, yes: str, no: str) -> None:
        status, text = (HTTPStatus.OK, yes) if good else (HTTPStatus.SERVICE_UNAVAILABLE, no)
        self._answer(status, f"{text}\n".encode())

    def _answer(
        self, status: HTTPStatus, body: bytes, content_type: str = "text/plain; charset=utf-8"
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet: a probe every few seconds is not news."""
