"""N consumers of the group, each in a process of its own, under one supervisor that answers HTTP for all.

One Python process cannot feed a large GPU through kafka-python. Each worker has its own session, its own
membership of the group and its own transactions, so what holds of one consumer holds of each.
"""

import logging
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from collections.abc import MutableSequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from prometheus_client import CollectorRegistry, multiprocess

from consumer import logs, service
from consumer.cores import cores
from consumer.errors import UrgencyRouterError
from consumer.health import Health, Pulse, Together
from consumer.metrics import Metrics
from consumer.server import address, serving
from consumer.settings import Settings

log = logging.getLogger("consumer")

# Where prometheus_client keeps what processes count together; it looks there when it is imported.
SHARED_METRICS = "PROMETHEUS_MULTIPROC_DIR"
# How soon a signal is seen.
POLL_SECONDS = 0.2
# A worker that dies at once, again and again, must not keep the machine busy with starting it.
RESTART_SECONDS = 1.0


_spawning = multiprocessing.get_context("spawn")


def supervise(settings: Settings, stop: threading.Event) -> int:
    """Run the workers until `stop` is set or all have ended, and give the code to end with.

    A worker that is killed, or dies of a fault of its own, is started again. One that ends for a cause that
    only a person can mend, which has an exit code of its own, ends the others and the supervisor too.

    Raises:
        PortTaken: the metrics port cannot be listened on.
    """
    with tempfile.TemporaryDirectory(prefix="urgency-router-") as directory:
        os.environ[SHARED_METRICS] = directory
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry, directory)  # type: ignore[no-untyped-call]
        workers = [_Worker.of(settings, number) for number in range(settings.workers)]
        health = Together([Pulse(worker.state, settings.stall_seconds) for worker in workers])
        with (
            serving(settings.metrics_host, settings.metrics_port, registry, health) as port,
            ThreadPoolExecutor(len(workers), thread_name_prefix="supervisor") as threads,
        ):
            log.info("/metrics, /livez and /readyz on %s", address(settings.metrics_host, port))
            codes = threads.map(lambda worker: worker.keep(stop, directory), workers)
            return next(filter(None, codes), 0)


@dataclass(frozen=True)
class _Worker:
    """One of the consumers; `state` is its pulse, in memory that the processes share."""

    number: int
    settings: Settings
    state: MutableSequence[float]

    @classmethod
    def of(cls, settings: Settings, number: int) -> "_Worker":
        own = {
            "workers": 1,
            "threads": settings.threads or max(1, cores() // settings.workers),
            "transactional_id": settings.transactional_id and f"{settings.transactional_id}-{number}",
        }
        return cls(number, settings.model_copy(update=own), _spawning.RawArray("d", 2))

    def keep(self, stop: threading.Event, directory: str) -> int:
        """Start it as often as it takes; the code it ended with for good."""
        while not stop.is_set():
            process = _spawning.Process(target=_work, args=(self,), name=f"worker-{self.number}", daemon=True)
            process.start()
            told = False
            while process.is_alive():
                process.join(POLL_SECONDS)
                if stop.is_set() and not told:
                    process.terminate()
                    told = True
            multiprocess.mark_process_dead(process.pid, directory)  # type: ignore[no-untyped-call]
            self.state[1] = 0.0
            code = process.exitcode or 0
            # Told before it listens for signals, it has nothing in flight.
            if code == 0 or (told and code == -signal.SIGTERM):
                return 0
            if code > UrgencyRouterError.exit_code or stop.is_set():
                stop.set()
                return max(code, UrgencyRouterError.exit_code)
            log.error("worker %d ended with code %d; starting it again", self.number, code)
            stop.wait(RESTART_SECONDS)
        return 0


def _work(worker: _Worker) -> None:
    settings = worker.settings
    logs.configure(settings.log_level, settings.log_format, texts=settings.log_texts)
    # A terminal's Ctrl-C reaches every process, and the supervisor passes it on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stop = service.stop_on_signals(signal.SIGTERM)
    threading.Thread(target=_stop_with_parent, args=(stop,), daemon=True).start()
    metrics = Metrics()
    health = Health(metrics, settings.stall_seconds, worker.state)
    # What is worth it on this machine, one of them can tell for all.
    advise = worker.number == 0
    run = partial(service.run, settings, stop, metrics, health, advise=advise)
    sys.exit(service.exit_code(settings, run))


def _stop_with_parent(stop: threading.Event) -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    stop.set()
