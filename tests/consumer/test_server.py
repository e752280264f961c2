"""/metrics, /livez and /readyz: what they answer, and whom they outlast."""

import errno
import re
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import Gauge
from prometheus_client.parser import text_string_to_metric_families

from consumer import server
from consumer.errors import PortTaken
from consumer.health import Health
from consumer.metrics import Metrics
from consumer.server import serving

DEADLINE_SECONDS = 60.0
THOUSAND = 1000
# Files and threads that a consumer opens for other reasons in the meantime, and threads that have closed
# their connection, which makes room for the next, and are about to return.
FEW = 20


@pytest.fixture
def health() -> Health:
    """A loop that counts as stuck only after a day."""
    return Health(Metrics(), stall_seconds=86_400.0)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port of one server for all tests that only ask."""
    metrics = Metrics()
    with serving("127.0.0.1", 0, metrics.registry, Health(metrics, stall_seconds=86_400.0)) as port:
        yield port


@pytest.fixture(scope="module")
def base(port: int) -> str:
    """The server's address."""
    return f"http://127.0.0.1:{port}"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that ends every connection after half a second."""
    monkeypatch.setattr(server, "CONNECTION_SECONDS", 0.5)


@pytest.fixture
def silence(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever the test does, the server says nothing about it."""
    yield
    assert capfd.readouterr() == ("", "")
    assert caplog.get_records("call") == []


def status(url: str) -> int:
    """The status that a GET is answered with."""
    try:
        return int(urllib.request.urlopen(url, timeout=DEADLINE_SECONDS).status)
    except urllib.error.HTTPError as error:
        return error.code


def connect(port: int, request: bytes = b"") -> socket.socket:
    """A connection over which a request, or a part of one, has been sent."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS)
    connection.sendall(request)
    return connection


def exchange(port: int, request: bytes) -> bytes:
    """All that comes back for a request, whatever it is."""
    with connect(port, request) as connection:
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def drip(connection: socket.socket) -> None:
    """Send a byte at a time until that fails, or until the deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        connection.sendall(b"x")
        time.sleep(0.02)


def wait_until(true: Callable[[], bool]) -> None:
    """Return once it is true; fail at the deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not true():
        assert time.monotonic() < deadline, "not true in time"
        time.sleep(0.02)


def answering() -> int:
    """How many threads there are for connections."""
    return sum("process_request_thread" in thread.name for thread in threading.enumerate())


@contextmanager
def many_files() -> Iterator[None]:
    """Allow this process the file descriptors of a thousand connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * THOUSAND + 512
    if hard != resource.RLIM_INFINITY and hard < needed:
        pytest.skip(f"a process may open only {hard} files here, and the test needs {needed}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_metrics_parse(base: str) -> None:
    """/metrics is what Prometheus reads, and every name has the prefix."""
    page = urllib.request.urlopen(f"{base}/metrics", timeout=DEADLINE_SECONDS).read().decode()

    families = list(text_string_to_metric_families(page))
    assert families
    assert all(family.name.startswith("urgency_router_") for family in families)


def test_ready_follows_the_loop(health: Health) -> None:
    """/readyz answers 503 until the loop labels, 200 while it does, and 503 again after."""
    with serving("127.0.0.1", 0, Metrics().registry, health) as port:
        assert status(f"http://127.0.0.1:{port}/readyz") == 503
        health.set_ready(True)
        assert status(f"http://127.0.0.1:{port}/readyz") == 200
        health.set_ready(False)
        assert status(f"http://127.0.0.1:{port}/readyz") == 503


def test_live_until_the_loop_is_silent_too_long() -> None:
    """/livez answers 200 while the loop beats, and 503 once it has been silent for longer than allowed."""
    stuck = Health(Metrics(), stall_seconds=0.0)
    turning = Health(Metrics(), stall_seconds=60.0)
    with serving("127.0.0.1", 0, Metrics().registry, stuck) as port:
        assert status(f"http://127.0.0.1:{port}/livez") == 503
    with serving("127.0.0.1", 0, Metrics().registry, turning) as port:
        assert status(f"http://127.0.0.1:{port}/livez") == 200


def test_query_is_ignored(base: str) -> None:
    """A query, which Prometheus may be configured to send, changes nothing."""
    assert [status(f"{base}{path}") for path in ("/metrics?name[]=x", "/livez?", "/livez?a=/x")] == [200] * 3


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/metrics/",
        "/metrics/x",
        "/../livez",
        "/livez/..",
        "/METRICS",
        "/%6divez",
        "/livez%00",
        "/x?/livez",
    ],
)
def test_nothing_else_is_served(path: str, base: str) -> None:
    """Any other path is not found."""
    assert status(f"{base}{path}") == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get"])
def test_other_methods_are_refused(method: str, port: int) -> None:
    """Nothing but GET and HEAD does anything."""
    answer = exchange(port, f"{method} /metrics HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.0 501 ")


@pytest.mark.parametrize("path", ["/metrics", "/livez", "/x"])
def test_head_gives_the_headers_alone(path: str, port: int) -> None:
    """HEAD is answered as GET is, the body's length included, without the body."""
    got, head = (exchange(port, f"{method} {path} HTTP/1.1\r\n\r\n".encode()) for method in ("GET", "HEAD"))
    without_date = re.compile(rb"Date: .*")
    assert without_date.sub(b"", head) == without_date.sub(b"", got.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
    assert re.search(rb"Content-Length: [1-9]", head)


@pytest.mark.usefixtures("silence")
@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        (b"GET /secret-4711 HTTP/1.1\r\n\r\n", 404),
        (b"secret-4711 /livez HTTP/1.1\r\n\r\n", 501),
        (b"secret-4711\r\n\r\n", 400),
        (b"GET /livez secret-4711 HTTP/1.1\r\n\r\n", 400),
        (b"GET /livez secret-4711/1.1\r\n\r\n", 400),
        (b"GET /livez HTTP/4711.1\r\nX: secret-4711\r\n\r\n", 505),
        (b"\x16\x03\x01 secret-4711\r\n\r\n", 400),
        (b"GET /".ljust(65537, b"s"), 414),
        (b"GET /livez HTTP/1.1\r\nX: ".ljust(65560, b"s"), 431),
        (b"GET /livez HTTP/1.1\r\n" + b"secret-4711: 1\r\n" * 200 + b"\r\n", 431),
    ],
)
def test_refusal_quotes_nothing(request_bytes: bytes, expected: int, port: int) -> None:
    """A refused request has its status, and comes back neither in the answer nor in the log."""
    answer = exchange(port, request_bytes)
    assert answer.startswith(f"HTTP/1.0 {expected} ".encode())
    assert b"4711" not in answer
    assert b"sss" not in answer


def test_headers_are_bounded_together(port: int) -> None:
    """Six megabytes of headers, each short enough alone and few enough together, are refused."""
    with connect(port, b"GET /livez HTTP/1.1\r\n") as connection:
        with suppress(ConnectionError):  # the refusal comes before the last header
            for number in range(99):
                connection.sendall(b"X-%d: " % number + b"x" * 64000 + b"\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.0 431 ")


@settings(deadline=None)
@given(
    st.one_of(
        st.binary(max_size=300),
        st.lists(
            st.sampled_from([b"GET", b"HEAD", b" ", b"/livez", b"HTTP/1.1", b"\r\n", b":", b"\xff"])
        ).map(b"".join),
    )
)
def test_any_bytes_are_answered(port: int, request_bytes: bytes) -> None:
    """Whatever is sent, the connection ends, with a whole answer or with none, and the next is answered."""
    answer = exchange(port, request_bytes)
    assert answer == b"" or re.match(rb"HTTP/1\.0 [2345]\d\d [A-Za-z -]+\r\nServer: urgency-router", answer)
    assert exchange(port, b"GET /livez HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.0 200 ")


@pytest.mark.usefixtures("silence")
def test_reset_in_mid_request_is_not_news(port: int, base: str) -> None:
    """A client that resets its connection leaves no line in the log."""
    for _ in range(20):
        with connect(port, b"GET /met") as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert status(f"{base}/livez") == 200
    wait_until(lambda: answering() == 0)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("request_bytes", [b"", b"GET /livez HT", b"GET /livez HTTP/1.1\r\nHost: x\r\n"])
def test_silent_client_is_shut_out(request_bytes: bytes, port: int) -> None:
    """A client that stops sending is cut off, without an answer, when its time is up."""
    with connect(port, request_bytes) as connection:
        assert connection.recv(1) == b""
    wait_until(lambda: answering() == 0)


@pytest.mark.usefixtures("impatient")
def test_dripping_client_is_shut_out(port: int) -> None:
    """A client that sends a byte at a time, for ever, is cut off all the same."""
    with connect(port, b"GET /livez HTTP/1.1\r\nX: ") as connection, pytest.raises(ConnectionError):
        drip(connection)


@pytest.mark.usefixtures("impatient", "silence")
def test_client_that_does_not_read_is_shut_out(health: Health) -> None:
    """A client that asks for a page larger than every buffer and never reads it is cut off."""
    metrics = Metrics()
    Gauge("large", "x" * 30_000_000, registry=metrics.registry)
    with (
        serving("127.0.0.1", 0, metrics.registry, health) as port,
        connect(port, b"GET /metrics HTTP/1.1\r\n\r\n"),
    ):
        wait_until(lambda: answering() == 1)
        wait_until(lambda: answering() == 0)


def test_newest_are_answered_while_a_thousand_hold_on(port: int, base: str) -> None:
    """While a thousand slow connections are opened, probes and scrapes are answered, and threads are few."""
    parts = (b"", b"GET /met", b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 60_000)
    most = 0
    with many_files(), ExitStack() as open_connections:
        for number in range(THOUSAND):
            open_connections.enter_context(connect(port, parts[number % len(parts)]))
            most = max(most, answering())
            if number % 100 == 99:
                assert [status(f"{base}{path}") for path in ("/livez", "/metrics")] == [200, 200]
    assert most <= server.MAX_CONNECTIONS + FEW


def test_oldest_makes_room(port: int) -> None:
    """Above the bound the oldest connection is ended, and no other."""
    with ExitStack() as open_connections:
        oldest, *others = (
            open_connections.enter_context(connect(port, b"GET /livez"))
            for _ in range(server.MAX_CONNECTIONS)
        )
        wait_until(lambda: answering() == server.MAX_CONNECTIONS)
        open_connections.enter_context(connect(port))
        assert oldest.recv(1) == b""
        for connection in others:
            connection.sendall(b" HTTP/1.1\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.0 200 ")


def test_end_does_not_wait_for_clients(health: Health) -> None:
    """When serving ends, connections end too, and no thread is left."""
    with ExitStack() as open_connections:
        with serving("127.0.0.1", 0, Metrics().registry, health) as port:
            connections = [open_connections.enter_context(connect(port, b"GET /")) for _ in range(20)]
            wait_until(lambda: answering() == 20)
        assert [connection.recv(1) for connection in connections] == [b""] * 20
    wait_until(lambda: answering() == 0)


def test_consumer_outlasts_and_outruns_a_thousand_connections(tiny_bundle: Path) -> None:
    """A consumer that a thousand clients send half a megabyte each answers, stays small, and ends with 0."""
    with socket.create_server(("127.0.0.1", 0)) as free, socket.create_server(("127.0.0.1", 0)) as no_kafka:
        port, kafka = free.getsockname()[1], no_kafka.getsockname()[1]
    command = [sys.executable, "-m", "consumer", "--bundle", str(tiny_bundle), "--metrics-host", "127.0.0.1"]
    command += ["--metrics-port", str(port), "--bootstrap-servers", f"127.0.0.1:{kafka}", "--device", "cpu"]
    headers = b"GET /metrics HTTP/1.1\r\n" + (b"X: " + b"x" * 60_000 + b"\r\n") * 9
    with subprocess.Popen(command) as consumer, many_files(), ExitStack() as open_connections:
        open_connections.callback(consumer.kill)
        wait_until(lambda: consumer.poll() is not None or runs_a_model(port))
        seen = psutil.Process(consumer.pid)
        memory, files, threads = seen.memory_info().rss, seen.num_fds(), seen.num_threads()
        for number in range(THOUSAND):
            connection = open_connections.enter_context(connect(port))
            with suppress(ConnectionError):
                connection.sendall(headers)
            if number % 100 == 99:
                assert status(f"http://127.0.0.1:{port}/metrics") == 200
                assert seen.num_fds() <= files + server.MAX_CONNECTIONS + FEW
                assert seen.num_threads() <= threads + server.MAX_CONNECTIONS + FEW
        assert seen.memory_info().rss <= memory + 100_000_000
        consumer.send_signal(signal.SIGTERM)
        assert consumer.wait(DEADLINE_SECONDS) == 0


def runs_a_model(port: int) -> bool:
    """Whether the consumer is there and has loaded its bundle: what it uses from then on is for its work."""
    with suppress(OSError):
        page = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=DEADLINE_SECONDS).read()
        return b"urgency_router_model_info{" in page
    return False


def test_listens_where_told() -> None:
    """A server on one address is not to be reached at another of the same machine."""
    metrics = Metrics()
    with serving("127.0.0.1", 0, metrics.registry, Health(metrics, 60.0)) as port:
        assert status(f"http://127.0.0.1:{port}/livez") == 200
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), timeout=DEADLINE_SECONDS)


@pytest.mark.parametrize(("host", "reached"), [("::1", ["[::1]"]), ("::", ["[::1]", "127.0.0.1"])])
def test_listens_on_ipv6(host: str, reached: list[str]) -> None:
    """An IPv6 address is listened on, and `::` is every address, IPv4 included."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    metrics = Metrics()
    with serving(host, 0, metrics.registry, Health(metrics, 60.0)) as port:
        assert [status(f"http://{address}:{port}/livez") for address in reached] == [200] * len(reached)


def test_start_asks_no_dns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Listening does not wait for a name server to tell this machine's name."""
    monkeypatch.setattr(socket, "getfqdn", lambda *_: pytest.fail("asked for the machine's name"))
    metrics = Metrics()
    with serving("127.0.0.1", 0, metrics.registry, Health(metrics, 60.0)):
        pass


def refusal(host: str, port: int) -> str:
    """What is said where the address cannot be listened on."""
    metrics = Metrics()
    with pytest.raises(PortTaken) as refused, serving(host, port, metrics.registry, Health(metrics, 60.0)):
        pass
    return str(refused.value)


def test_taken_port_is_explained() -> None:
    """A taken port is refused in one sentence that names it and the flag."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        assert re.search(
            rf"127\.0\.0\.1:{port}.*in use; stop what .*--metrics-port", refusal("127.0.0.1", port)
        )


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "not a host"])
def test_address_of_another_machine_is_explained(host: str) -> None:
    """An address that this machine does not have is refused with a word on the address, not on the port."""
    said = refusal(host, 9108)
    assert "--metrics-host must be an address of this machine" in said
    assert "--metrics-port" not in said


def test_privileged_port_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that only a privileged process may take is refused with a word on that."""

    def forbidden(_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(server.TCPServer, "server_bind", forbidden)
    assert "[::1]:80 for /metrics: Permission denied; ports below 1024" in refusal("::1", 80)
