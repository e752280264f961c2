"""A receiver of spans on loopback, as OpenTelemetry's collector is one: OTLP over HTTP, as protobuf."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Received(NamedTuple):
    """A span that came in, and what it says of who sent it."""

    span: Any
    attributes: dict[str, str | int | bool]
    resource: dict[str, str | int | bool]


class Receiver:
    """What came in so far; `answer` is the status that it gives, `open` lets it answer at all."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.answer = 200
        self.open = threading.Event()
        self.open.set()
        self.port = 0

    @property
    def variables(self) -> dict[str, str]:
        """OpenTelemetry's own that lead here, and that wait no longer than a test should."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.port}",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "2",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }

    def spans(self) -> list[Received]:
        """Every span that came in."""
        return [
            Received(span, _plain(span.attributes), _plain(of_resource.resource.attributes))
            for request in list(self.requests)
            for of_resource in ExportTraceServiceRequest.FromString(request).resource_spans
            for of_scope in of_resource.scope_spans
            for span in of_scope.spans
        ]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver on a free port."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.open.wait()
            if receiver.answer == 200:
                receiver.requests.append(body)
            self.send_response(receiver.answer)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        receiver.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            receiver.open.set()
            server.shutdown()
            thread.join()


def _plain(attributes: Any) -> dict[str, str | int | bool]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in attributes}
