"""How the rate grows with the length of texts, with the batch bound and with consumers; memory with time."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from subprocess import Popen

import psutil

from tests.bench import streams
from tests.bench.models import Model

LENGTHS = (8, 16, 32, 64, 128)
BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
CONSUMERS = (1, 2, 4)
WARM_UP_SECONDS = 4.0
MOST_A_SECOND = 2_000
MOST_OVERHEAD_A_SECOND = 30_000
SOAK_EVERY_SECONDS = 10.0

Say = Callable[[str], None]
Point = tuple[float, float]


@dataclass(frozen=True)
class Measured:
    """Comments a second against tokens a text, against the batch bound in seconds, and against consumers."""

    by_length: list[Point]
    by_bound: list[Point]
    by_consumers: list[Point]


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
    streams.preload(servers, topic, texts, int(seconds * MOST_OVERHEAD_A_SECOND), partitions=12)
    by_consumers = []
    for consumers in CONSUMERS:
        say(f"growth: {consumers} consumers")
        name = f"growth.{consumers}-consumers"
        rate = _rate(servers, overhead_model, topic, name, [], directory, seconds, consumers)
        by_consumers.append((float(consumers), rate))
    return Measured(by_length, by_bound, by_consumers)


def soak(
    servers: str, model: Model, texts: Sequence[str], directory: Path, *, minutes: float, say: Say
) -> list[Point]:
    """A consumer's resident memory, MB, against minutes of full load."""
    topic, prefix = "soak.comments", "soak."
    streams.preload(servers, topic, texts, int(minutes * 60 * 200))
    streams.create(servers, *streams.output_topics(prefix))
    log = directory / f"{prefix}0.log"
    points: list[Point] = []
    with (
        _consumers(servers, model, topic, prefix, [], directory, 1) as [process],
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
    consumers: int = 1,
) -> float:
    prefix = f"{name}.out."
    streams.create(servers, *streams.output_topics(prefix))
    log = directory / f"{prefix}0.log"
    with (
        _consumers(servers, model, topic, prefix, flags, directory, consumers) as processes,
        streams.reading(servers, streams.output_topics(prefix)) as reader,
    ):
        seen = streams.watch(reader, processes[0], log, seconds=seconds + WARM_UP_SECONDS)
    return seen.after(WARM_UP_SECONDS).rate


@contextlib.contextmanager
def _consumers(
    servers: str, model: Model, topic: str, prefix: str, flags: list[str], directory: Path, count: int
) -> Iterator[list[Popen[bytes]]]:
    command = streams.consumer_command(servers, model.bundle, topic, prefix, *flags)
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(streams.running(command, directory / f"{prefix}{number}.log"))
            for number in range(count)
        ]


def report(measured: Measured) -> list[str]:
    """Markdown."""
    lines: list[str] = []
    for title, points in (
        ("tokens a text", measured.by_length),
        ("`--max-batch-seconds`", measured.by_bound),
        ("consumers, with the model of next to nothing", measured.by_consumers),
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
