"""One consumer as a user starts it: a process of its own, with a log of its own."""

import contextlib
import http.client
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from deploy.local import children, latency
from deploy.local.broker import HOST, free_port
from tests.integration.faults.patience import NotSurvived

# A dead consumer's partitions and its open transaction are free again within seconds.
SESSION_SECONDS = 6
TRANSACTION_SECONDS = 4
NO_ANSWER = (OSError, http.client.HTTPException)


class Replica:
    """A `python -m consumer`, started.

    Its transactions have a name that no other replica has, as they have by default, but one we know.
    """

    def __init__(
        self, name: str, bundle: Path, servers: str, topics: Mapping[str, str], log: Path, *, proxied: bool
    ) -> None:
        self.name = name
        self.transactional_id = f"{topics['--group-id']}-{name}"
        self.proxied = proxied
        self.log = log
        self._port = free_port()
        command = [sys.executable, "-m", "consumer", "--bundle", str(bundle), "--bootstrap-servers", servers]
        command += [part for flag in topics.items() for part in flag]
        command += ["--metrics-host", HOST, "--metrics-port", str(self._port), "--threads", "1"]
        command += ["--session-timeout-seconds", str(SESSION_SECONDS)]
        command += ["--transaction-timeout-seconds", str(TRANSACTION_SECONDS)]
        command += ["--transactional-id", self.transactional_id]
        with log.open("wb") as file:
            self._process = children.spawn(command, output=file)
        self.pid = self._process.pid

    def kill(self) -> None:
        """End it as a power cut does."""
        children.kill(self._process)

    def stop(self) -> int:
        """End it as Kubernetes does; its exit code."""
        return children.stop(self._process, 30.0)

    def freeze(self) -> None:
        """Let it run no further, and let it not know."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def raise_if_ended(self) -> None:
        """Raise `NotSurvived` if it no longer runs: ask only while nobody has ended it."""
        if (code := self._process.poll()) is not None:
            raise NotSurvived(f"{self.name} ended by itself with code {code}: see {self.log}")

    @property
    def ready(self) -> bool:
        """Whether it says that it is at work."""
        with contextlib.suppress(*NO_ANSWER):
            return latency.get(self._port, "/readyz")[0] == 200
        return False

    def metric(self, name: str) -> float:
        """The sum of a metric's samples; 0 if it does not answer."""
        with contextlib.suppress(*NO_ANSWER):
            page = latency.get(self._port, "/metrics")[1]
            samples = [s for family in text_string_to_metric_families(page) for s in family.samples]
            return sum(s.value for s in samples if s.name == name)
        return 0.0

    def errors(self) -> list[str]:
        """What the consumer itself has logged as errors, and whatever it printed that is no log line.

        kafka-python logs every connection it loses as an error; what counts is what the consumer makes of it.
        """
        found = []
        for line in self.log.read_text(errors="replace").splitlines():
            try:
                entry = json.loads(line)
                ours = entry["logger"].startswith("consumer")
                if ours and entry["level"] in ("error", "critical"):
                    found.append(entry["message"])
            except ValueError:
                found.append(line)
        return found
