"""/metrics, /livez and /readyz over HTTP: whoever reaches the port may read them, and can do nothing else.

A query after the path is ignored, since Prometheus may be configured to send one.
"""

import errno
import io
import logging
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, Final, Protocol

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from consumer.errors import PortTaken

log = logging.getLogger("consumer")

# How it calls itself.
SERVER: Final = "urgency-router"
# Each has a thread. A scrape takes milliseconds, so the oldest of so many is a slow one: it makes room.
MAX_CONNECTIONS: Final = 64
# From accept to the last byte, however steadily a client sends or reads.
CONNECTION_SECONDS: Final = 10.0
# How often it is looked whether a connection's time, or the server's, is up.
POLL_SECONDS: Final = 0.1
# A request line and its headers together, which the base class bounds one by one. One more than the longest
# line that it takes, so that it sees one that is too long.
MAX_REQUEST_BYTES: Final = 65537


class Probed(Protocol):
    """What the probes ask."""

    @property
    def live(self) -> bool:
        """False once a loop has been silent for too long: restart the process."""

    @property
    def ready(self) -> bool:
        """True while comments are being labelled."""


@contextmanager
def serving(host: str, port: int, registry: CollectorRegistry, health: Probed) -> Iterator[int]:
    """Answer HTTP on a thread of its own, and give the port (useful with port 0).

    Args:
        host: a name or an address of this machine, IPv4 or IPv6; `::` listens on all of both.
        port: 0 takes a free one.
        registry: what /metrics shows.
        health: what /livez and /readyz ask.

    Raises:
        PortTaken: the address cannot be listened on.
    """
    handler = type("Handler", (_Handler,), {"registry": registry, "health": health})
    try:
        server = _Server(host, port, handler)
    except OSError as error:
        raise PortTaken(_cannot_listen(host, port, error)) from None
    thread = threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,), name="http", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _cannot_listen(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        advice = "stop what holds the port, or choose another with --metrics-port"
    elif error.errno == errno.EACCES:
        advice = "ports below 1024 need a privilege: choose another with --metrics-port"
    else:
        advice = "--metrics-host must be an address of this machine, such as 0.0.0.0 for all of them"
    return f"cannot listen on {address(host, port)} for /metrics: {error.strerror}; {advice}"


def address(host: str, port: int) -> str:
    """Host and port as a URL has them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _Server(ThreadingHTTPServer):
    """One thread a connection, a bounded number of them, each for a bounded time."""

    # A burst of connections queues here rather than being dropped, a probe's among them.
    request_queue_size = 1024

    def __init__(self, host: str, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        # When each open connection was accepted, oldest first. The condition guards it, tells of every one
        # that closes, and keeps a socket from being shut once its number may belong to another.
        self._opened: dict[socket.socket, float] = {}
        self._closed = threading.Condition()
        self.address_family, *_, found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        super().__init__(found, handler)  # type: ignore[arg-type]  # an IPv6 address has four parts

    def server_bind(self) -> None:
        """Bind without asking the DNS for a name that nobody needs, and waiting for its answer."""
        TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Make room if there is none, and answer on a thread."""
        with self._closed:
            while len(self._opened) >= MAX_CONNECTIONS:
                _shut(next(iter(self._opened)))
                self._closed.wait()
            self._opened[request] = time.monotonic()
        super().process_request(request, client_address)

    def service_actions(self) -> None:
        """End the connections whose time is up; the base class calls this every POLL_SECONDS and oftener."""
        with self._closed:
            for request, opened in self._opened.items():
                if time.monotonic() - opened < CONNECTION_SECONDS:
                    break
                _shut(request)

    def close_request(self, request: Any) -> None:
        """Close a connection, from the thread that has answered it."""
        with self._closed:
            super().close_request(request)
            self._opened.pop(request, None)
            self._closed.notify()

    def server_close(self) -> None:
        """Stop listening, and end every connection."""
        super().server_close()
        with self._closed:
            for request in self._opened:
                _shut(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away, and nothing of the request otherwise."""
        if not isinstance(sys.exception(), OSError):
            log.exception("a fault of the consumer itself in answering over HTTP, please report it")


def _shut(connection: socket.socket) -> None:
    """Wake the thread that reads from a connection or writes to it: it finds the connection ended."""
    with suppress(OSError):  # the client was faster
        connection.shutdown(socket.SHUT_RDWR)


class _Request(io.BufferedReader):
    """A request, at most MAX_REQUEST_BYTES of it."""

    left = MAX_REQUEST_BYTES

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(self.left if size is None or size < 0 else min(size, self.left))
        self.left -= len(line)
        return line


class _Handler(BaseHTTPRequestHandler):
    registry: CollectorRegistry
    health: Probed
    server_version = SERVER
    sys_version = ""
    # With HTTP/0.9, the base class's default, a malformed request would be answered without a status.
    default_request_version = "HTTP/1.0"
    rbufsize = 0

    def setup(self) -> None:
        super().setup()
        self.rfile = _Request(self.rfile)  # raw, since rbufsize is 0

    def parse_request(self) -> bool:
        if not super().parse_request():
            return False
        if not self.rfile.left:  # type: ignore[attr-defined]
            self.send_error(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            return False
        return True

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._answer(HTTPStatus.OK, generate_latest(self.registry), CONTENT_TYPE_LATEST)
        elif path == "/livez":
            self._probe(self.health.live, "the loop is turning", "the loop is stuck")
        elif path == "/readyz":
            self._probe(self.health.ready, "labelling", "not labelling yet, or no more")
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"only /metrics, /livez and /readyz are here\n")

    def do_HEAD(self) -> None:
        self.do_GET()

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
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse without the request's own words, which the base class would quote."""
        status = HTTPStatus(code)
        self._answer(status, f"{status.phrase}\n".encode())

    def log_message(self, *_: object) -> None:
        """Keep quiet: a probe every few seconds is not news."""
