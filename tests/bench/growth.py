"""How the rate grows with the length of texts, with the batch bound and with workers; memory with time."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil

from tests.bench import streams
from tests.bench.models import Model

LENGTHS = (8, 16, 32, 64, 128)
BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
WORKERS = (1, 2, 4)
WARM_UP_SECONDS = 4.0
# Until the workers have shared the partitions: a rebalance takes a heartbeat, and they need two.
SHARING_SECONDS = 10.0
MOST_A_SECOND = 2_000
MOST_OVERHEAD_A_SECOND = 30_000
MOST_SOAKED_A_SECOND = 600
SOAK_EVERY_SECONDS = 10.0

Say = Callable[[str], None]
Point = tuple[float, float]


@dataclass(frozen=True)
class Measured:
    """Comments a second against tokens a text, against the batch bound in seconds, and against workers."""

    by_length: list[Point]
    by_bound: list[Point]
    by_workers: list[Point]


def run(
    servers: str,
    model: Model,
    overhead_model: Model,
    texts: Sequence[str],
    directory: Path,
    *,
    seconds: float,
    say: Say,
) -> Measured:
    """Measure each with the consumer as users start it."""
    by_length = []
    for length in LENGTHS:
        say(f"growth: texts of {length} tokens")
        topic = f"growth.tokens-{length}"
        streams.preload(servers, topic, _of_length(model, texts, length), int(seconds * MOST_A_SECOND))
        by_length.append((float(length), _rate(servers, model, topic, topic, [], directory, seconds)))
    topic = "growth.comments"
    streams.preload(servers, topic, texts, int(seconds * MOST_A_SECOND))
    by_bound = []
    for bound in BOUNDS:
        say(f"growth: batches of {bound} s")
        flags = ["--max-batch-seconds", str(bound)]
        by_bound.append((bound, _rate(servers, model, topic, f"growth.{bound}", flags, directory, seconds)))
    topic = "growth.many"
    count = int((seconds + SHARING_SECONDS) * MOST_OVERHEAD_A_SECOND)
    streams.preload(servers, topic, texts, count, partitions=12)
    by_workers = []
    for workers in WORKERS:
        say(f"growth: {workers} workers")
        name, flags = f"growth.{workers}-workers", ["--workers", str(workers)]
        rate = _rate(servers, overhead_model, topic, name, flags, directory, seconds, warm_up=SHARING_SECONDS)
        by_workers.append((float(workers), rate))
    return Measured(by_length, by_bound, by_workers)


def soak(
    servers: str, model: Model, texts: Sequence[str], directory: Path, *, minutes: float, say: Say
) -> list[Point]:
    """A consumer's resident memory, MB, against minutes of full load."""
    topic, prefix = "soak.comments", "soak."
    streams.preload(servers, topic, texts, int(minutes * 60 * MOST_SOAKED_A_SECOND))
    streams.create(servers, *streams.output_topics(prefix))
    log = directory / f"{prefix}0.log"
    points: list[Point] = []
    with (
        streams.running(streams.consumer_command(servers, model.bundle, topic, prefix), log) as process,
        streams.reading(servers, streams.output_topics(prefix)) as reader,
    ):
        streams.watch(reader, process, log, seconds=WARM_UP_SECONDS)
        start = time.monotonic()
        while (now := time.monotonic()) < start + minutes * 60:
            streams.watch(reader, process, log, seconds=SOAK_EVERY_SECONDS)
            points.append(((now - start) / 60, psutil.Process(process.pid).memory_info().rss / 1e6))
            if len(points) % 12 == 1:
                say(f"soak: {points[-1][0]:.0f} min, {points[-1][1]:.0f} MB")
    return points


def _of_length(model: Model, texts: Sequence[str], tokens: int) -> list[str]:
    """Texts of about that many tokens, made of the words of those given."""
    words = [word for text in texts for word in text.split()]
    special = model.token_counts([""])[0]
    made: list[str] = []
    start = counted = 0
    for end, of_word in enumerate(model.token_counts(words), 1):
        counted += of_word - special
        if counted >= tokens - special:
            made.append(" ".join(words[start:end]))
            start, counted = end, 0
    return made


def _rate(
    servers: str,
    model: Model,
    topic: str,
    name: str,
    flags: list[str],
    directory: Path,
    seconds: float,
    warm_up: float = WARM_UP_SECONDS,
) -> float:
    prefix = f"{name}.out."
    streams.create(servers, *streams.output_topics(prefix))
    log = directory / f"{prefix}0.log"
    command = streams.consumer_command(servers, model.bundle, topic, prefix, *flags)
    with (
        streams.running(command, log) as process,
        streams.reading(servers, streams.output_topics(prefix)) as reader,
    ):
        seen = streams.watch(reader, process, log, seconds=seconds + warm_up)
    return seen.after(warm_up).rate


def report(measured: Measured) -> list[str]:
    """Markdown."""
    lines: list[str] = []
    for title, points in (
        ("tokens a text", measured.by_length),
        ("`--max-batch-seconds`", measured.by_bound),
        ("`--workers`, with the model of next to nothing", measured.by_workers),
    ):
        lines += [*streams.table([{title: f"{x:g}", "comments/s": f"{y:,.0f}"} for x, y in points]), ""]
    return lines


def report_soak(points: Sequence[Point]) -> list[str]:
    """Markdown."""
    tenth = max(1, len(points) // 10)
    first, last = median(y for _, y in points[tenth : 2 * tenth]), median(y for _, y in points[-tenth:])
    return [
        f"- {points[-1][0]:.0f} minutes of full load: {first:.0f} MB resident in its second tenth"
        f" and {last:.0f} MB in the last"
    ]
