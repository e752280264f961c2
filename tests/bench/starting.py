"""How long a consumer takes from its start to ready, with its files in the cache."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from deploy.local import latency
from deploy.local.broker import free_port
from tests.bench import goals, streams
from tests.bench.models import Model

# The first one fills the cache.
STARTS = 6

Say = Callable[[str], None]


def run(servers: str, model: Model, directory: Path, *, say: Say) -> float:
    """Seconds to the first 200 of /readyz: model proved, group joined. The median of five starts."""
    topic, prefix = "starting.comments", "starting."
    streams.create(servers, topic, *streams.output_topics(prefix))
    seconds = [_once(servers, model, topic, prefix, directory / "starting.log") for _ in range(STARTS)][1:]
    say(f"start to ready: {', '.join(f'{one:.1f}' for one in seconds)} s")
    return median(seconds)


def _once(servers: str, model: Model, topic: str, prefix: str, log: Path) -> float:
    port = free_port()
    command = streams.consumer_command(servers, model.bundle, topic, prefix, metrics_port=port)
    started = time.monotonic()
    with streams.running(command, log) as process:
        while not _ready(port):
            if process.poll() is not None or time.monotonic() > started + streams.START_SECONDS:
                raise RuntimeError(f"the consumer did not become ready:\n{log.read_text()[-2000:]}")
            time.sleep(0.02)
        return time.monotonic() - started


def _ready(port: int) -> bool:
    with contextlib.suppress(OSError):
        return latency.get(port, "/readyz")[0] == 200
    return False


def report(seconds: float) -> list[str]:
    """Markdown."""
    return [goals.at_most("seconds from start to ready, files cached", seconds, 5)]
