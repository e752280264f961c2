"""TCP between a client and the brokers, which can be made to misbehave."""

import asyncio
import contextlib
import functools
import socket
import struct
import threading
from collections.abc import Coroutine, Mapping
from typing import Any, Literal, Self

from deploy.local.broker import HOST

Mode = Literal["pass", "refuse", "stall", "reset"]

CHUNK = 65_536
APPLY_SECONDS = 10.0
# SO_LINGER on, for 0 seconds: close() sends a reset instead of a farewell.
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Proxy:
    """Forwards each port of `routes` (of 127.0.0.1) to another, on a thread of its own.

    pass: forward.
    refuse: no connection is accepted, and those that were open are reset.
    stall: connections are accepted and stay open, and nothing goes through in either direction.
    reset: of the next response on each connection the first half arrives, then the connection is reset.

    `resets` counts the connections reset in the middle of a response.
    """

    def __init__(self, routes: Mapping[int, int]) -> None:
        self.resets = 0
        self.routes = routes
        self._mode: Mode = "pass"
        self._servers: list[asyncio.Server] = []
        self._connections: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._prepare())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def set(self, mode: Mode) -> None:
        """Behave so from now on, for connections that are open too."""
        self._run(self._set(mode))

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(APPLY_SECONDS)

    async def _prepare(self) -> None:
        self._flowing = asyncio.Event()
        self._flowing.set()
        await self._listen()

    async def _listen(self) -> None:
        for port, target in self.routes.items():
            connected = functools.partial(self._connected, target)
            self._servers.append(await asyncio.start_server(connected, HOST, port))

    async def _set(self, mode: Mode) -> None:
        self._mode = mode
        if mode == "stall":
            self._flowing.clear()
        else:
            self._flowing.set()
        if mode == "refuse":
            self._hang_up()
        elif not self._servers:
            await self._listen()

    async def _close(self) -> None:
        self._hang_up()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _hang_up(self) -> None:
        while self._servers:
            self._servers.pop().close()
        for writer in list(self._connections):
            _reset(writer)

    async def _connected(
        self, target: int, client: asyncio.StreamReader, to_client: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._connections.add(to_client)
        try:
            broker, to_broker = await asyncio.open_connection(HOST, target)
        except OSError:
            # A broker that is down refuses; so do we.
            _reset(to_client)
            return
        finally:
            self._connections.discard(to_client)
        both = {to_client, to_broker}
        self._connections |= both
        try:
            with contextlib.suppress(OSError):
                await _first_of(self._requests(client, to_broker), self._responses(broker, to_client))
        finally:
            self._connections -= both
            for writer in both:
                writer.transport.abort()

    async def _requests(self, client: asyncio.StreamReader, to_broker: asyncio.StreamWriter) -> None:
        while data := await client.read(CHUNK):
            await self._flowing.wait()
            to_broker.write(data)
            await to_broker.drain()

    async def _responses(self, broker: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        while data := await broker.read(CHUNK):
            await self._flowing.wait()
            if self._mode == "reset":
                to_client.write(data[: len(data) // 2])
                await to_client.drain()
                self.resets += 1
                _reset(to_client)
                return
            to_client.write(data)
            await to_client.drain()


async def _first_of(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run until one of them ends, and end the others."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    writer.transport.abort()
