"""The consumer as a user would start it, in a process of its own."""

import contextlib
import sys
import time
from pathlib import Path
from typing import Self

from deploy.local import children, latency
from deploy.local.broker import HOST, Broker, free_port
from deploy.local.errors import DemoFailed

READY_SECONDS = 180.0


class ConsumerProcess:
    """``python -m consumer`` on a bundle and a broker, with its log in a file."""

    def __init__(self, bundle: Path, broker: Broker, log: Path) -> None:
        self.port = free_port()
        self._log = log
        self._command = [
            *(sys.executable, "-m", "consumer", "--bundle", str(bundle)),
            *("--bootstrap-servers", broker.bootstrap_servers, "--create-topics"),
            *("--metrics-host", HOST, "--metrics-port", str(self.port)),
        ]

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = children.spawn(self._command, output=log)
        return self

    def __exit__(self, *_: object) -> None:
        children.stop(self._process)

    def wait_until_ready(self) -> None:
        """Return once it has proved its model and joined its group; raises `DemoFailed`."""
        deadline = time.monotonic() + READY_SECONDS
        while not self._ready():
            self.raise_if_dead()
            if time.monotonic() > deadline:
                raise DemoFailed(f"The consumer was not ready in {READY_SECONDS:.0f} s: see {self._log}.")
            time.sleep(0.1)

    def raise_if_dead(self) -> None:
        """Raise `DemoFailed` if the consumer has ended by itself."""
        if (code := self._process.poll()) is not None:
            lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines() or [
                "it said nothing"
            ]
            raise DemoFailed(
                f"The consumer ended by itself (exit code {code}): {lines[-1][:300]}; its log is {self._log}."
            )

    def delays(self) -> latency.Buckets:
        """Its delay histogram as it stands; raises `DemoFailed` if it does not answer."""
        try:
            return latency.buckets(latency.get(self.port, "/metrics")[1])
        except OSError as error:
            self.raise_if_dead()
            raise DemoFailed(
                f"The consumer's /metrics does not answer ({error}): see {self._log}."
            ) from error

    def stop(self) -> None:
        """Stop it as an operator would; raises `DemoFailed` unless that succeeds."""
        self.raise_if_dead()
        if code := children.stop(self._process):
            raise DemoFailed(f"The consumer ended with exit code {code} when told to stop: see {self._log}.")

    def _ready(self) -> bool:
        with contextlib.suppress(OSError):
            return latency.get(self.port, "/readyz")[0] == 200
        return False
