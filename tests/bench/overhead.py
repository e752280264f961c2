"""What all but the model costs: the consumer with a model of next to nothing, against a bare loop."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench import goals, streams
from tests.bench.models import Model

OURS = "urgency-router"
OURS_AT_LEAST_ONCE = "urgency-router without transactions"
BARE = "bare loop: poll, send, flush, offsets, commit"
BARE_AT_LEAST_ONCE = "bare loop without transactions"
WARM_UP_SECONDS = 4.0
MOST_A_SECOND = 20_000
TEXT_BYTES = 280  # about 300 with the JSON around it
BATCH = 2000

Say = Callable[[str], None]


@dataclass(frozen=True)
class Measured:
    """A run: comments a second, and microseconds of CPU for each."""

    name: str
    rate: float
    cpu: float


def texts_of_one_size(texts: Sequence[str]) -> list[str]:
    """Comments of 280 bytes, cut and filled up from those given."""
    long = " ".join(texts).encode("ascii", "ignore").decode()
    return [long[start : start + TEXT_BYTES] for start in range(0, len(long) - TEXT_BYTES, TEXT_BYTES)]


def run(
    servers: str, model: Model, texts: Sequence[str], directory: Path, *, seconds: float, say: Say
) -> tuple[list[Measured], dict[str, float]]:
    """Measure each loop, and where the consumer's time goes, in microseconds of CPU a comment by stage."""
    topic = "overhead.comments"
    count = int((seconds + WARM_UP_SECONDS) * MOST_A_SECOND)
    say(f"overhead: sending {count:,} comments")
    streams.preload(servers, topic, texts_of_one_size(texts), count)
    bare = [
        *("-m", "tests.bench.contestants", "bare", "--bootstrap-servers", servers, "--input-topic", topic),
        *("--max-poll-records", str(BATCH)),
    ]
    measured = [
        _ours(servers, model, topic, OURS, [], directory, seconds),
        _loop(servers, BARE, bare, directory, seconds),
        _ours(servers, model, topic, OURS_AT_LEAST_ONCE, ["tests.bench.at_least_once"], directory, seconds),
        _loop(servers, BARE_AT_LEAST_ONCE, [*bare, "--at-least-once"], directory, seconds),
    ]
    for one in measured:
        say(f"overhead: {one.name}: {one.rate:,.0f} comments/s, {one.cpu:.0f} us of CPU each")
    say("overhead: stages")
    stages = directory / "stages.json"
    _ours(servers, model, topic, "stages", ["tests.bench.stages", str(stages)], directory, seconds)
    return measured, json.loads(stages.read_text())


def _ours(
    servers: str,
    model: Model,
    topic: str,
    name: str,
    launcher: list[str],
    directory: Path,
    seconds: float,
) -> Measured:
    prefix = f"overhead.{'-'.join(name.split())}."
    streams.create(servers, *streams.output_topics(prefix))
    command = streams.consumer_command(
        servers, model.bundle, topic, prefix, "--max-batch-messages", str(BATCH)
    )
    if launcher:
        command[1:2] = launcher
    return _measured(servers, name, streams.output_topics(prefix), command, directory, seconds)


def _loop(servers: str, name: str, command: list[str], directory: Path, seconds: float) -> Measured:
    output = f"overhead.{'without' if '--at-least-once' in command else 'with'}-transactions"
    streams.create(servers, output)
    command = [*command, "--output-topic", output]
    return _measured(servers, name, [output], command, directory, seconds)


def _measured(
    servers: str, name: str, topics: list[str], command: list[str], directory: Path, seconds: float
) -> Measured:
    log = directory / f"{'-'.join(name.split()).replace(':', '').replace(',', '')}.log"
    with streams.reading(servers, topics) as reader, streams.running(command, log) as process:
        streams.watch(reader, process, log, seconds=WARM_UP_SECONDS)
        used = streams.cpu_seconds(process)
        seen = streams.watch(reader, process, log, seconds=seconds)
        used = streams.cpu_seconds(process) - used
    return Measured(name, seen.rate, used / len(seen.numbers) * 1e6)


def report(measured: Sequence[Measured], stages: dict[str, float]) -> list[str]:
    """Markdown."""
    rates = {one.name: one.rate for one in measured}
    lines = streams.table(
        [
            {
                "everything but the model": one.name,
                "comments/s": f"{one.rate:,.0f}",
                "us of CPU a comment": f"{one.cpu:.0f}",
            }
            for one in measured
        ]
    )
    lines += [
        "",
        goals.at_least("of the bare loop's rate", rates[OURS] / rates[BARE], 0.7),
        goals.at_most(
            "what exactly once costs, of the rate without", 1 - rates[OURS] / rates[OURS_AT_LEAST_ONCE], 0.15
        ),
        "",
    ]
    return lines + streams.table(
        [{"stage": name, "us of CPU a comment": f"{cost:.1f}"} for name, cost in stages.items()]
    )
