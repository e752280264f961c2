"""The proxy of the fault tests does to a connection what it says."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from deploy.local.broker import HOST, free_port
from tests.integration.faults.proxy import Proxy

SECONDS = 10.0


class Echo:
    """A server that answers each piece with itself; `received` is all that has reached it."""

    def __init__(self) -> None:
        self.received = b""
        self._server = socket.create_server((HOST, 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Accept no more."""
        self._server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(1000):
                self.received += data
                connection.sendall(data)


@pytest.fixture
def echo() -> Iterator[Echo]:
    """A server to stand behind the proxy."""
    with contextlib.closing(Echo()) as echo:
        yield echo


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    """A proxy in front of the echo."""
    with Proxy({free_port(): echo.port}) as proxy:
        yield proxy


def connect(proxy: Proxy) -> socket.socket:
    """Connect through the proxy."""
    (port,) = proxy.routes
    return socket.create_connection((HOST, port), SECONDS)


def test_pass_forwards_both_ways(proxy: Proxy) -> None:
    """What is sent through the proxy arrives, and so does the answer."""
    with connect(proxy) as client:
        client.sendall(b"hello")
        assert client.recv(1000) == b"hello"


def test_refuse_resets_the_open_and_refuses_the_new(proxy: Proxy) -> None:
    """A proxy that refuses resets what is open, accepts nothing new, and forwards again afterwards."""
    with connect(proxy) as client:
        client.sendall(b"hello")
        client.recv(1000)
        proxy.set("refuse")
        with pytest.raises(ConnectionResetError):
            client.recv(1000)
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)

    proxy.set("pass")

    test_pass_forwards_both_ways(proxy)


def test_stall_holds_everything_and_loses_nothing(proxy: Proxy, echo: Echo) -> None:
    """A proxy that stalls delivers nothing, old connections and new, and all of it once it flows again."""
    with connect(proxy) as old:
        old.sendall(b"before")
        assert old.recv(1000) == b"before"
        proxy.set("stall")
        with connect(proxy) as new:
            for client in (old, new):
                client.sendall(b"held")
                client.settimeout(0.2)
                with pytest.raises(TimeoutError):
                    client.recv(1000)
            assert echo.received == b"before"

            proxy.set("pass")

            for client in (old, new):
                client.settimeout(SECONDS)
                assert client.recv(1000) == b"held"


def test_reset_comes_in_mid_response(proxy: Proxy) -> None:
    """A proxy that resets delivers the first half of the answer, then a reset, and counts it."""
    with connect(proxy) as client:
        proxy.set("reset")
        client.sendall(b"four more")
        assert client.recv(1000) == b"four"
        with pytest.raises(ConnectionResetError):
            client.recv(1000)

    assert proxy.resets == 1


def test_broker_that_is_down_is_refused() -> None:
    """A connection to a port behind which nobody listens is reset."""
    with (
        Proxy({free_port(): free_port()}) as nowhere,
        pytest.raises(ConnectionResetError),
        connect(nowhere) as client,
    ):
        client.recv(1000)
