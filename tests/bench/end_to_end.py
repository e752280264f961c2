"""Comments a second through Kafka, against what people use today and against the limit of the hardware."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench import goals, limit, machine, streams
from tests.bench.models import MAX_LENGTH, Model
from tests.bench.streams import Arrivals

OURS = "urgency-router"
OURS_INT8 = "urgency-router, int8"
PIPELINE_32 = "transformers pipeline, batch 32"
ONE_AT_A_TIME = "ONNX Runtime, one text at a time"
# Batch sizes find themselves and libraries load their kernels in the first seconds.
WARM_UP_SECONDS = 5.0
# More than any contestant labels in a second: the topic must not run dry.
MOST_A_SECOND = 2_000

Say = Callable[[str], None]


@dataclass(frozen=True)
class Measured:
    """A contestant's run.

    rate: comments a second that a reader saw
    share: of the operations that a plain fp32 matrix product reached beside it
    """

    name: str
    rate: float
    share: float


def run(
    servers: str, model: Model, texts: Sequence[str], directory: Path, *, seconds: float, say: Say
) -> list[Measured]:
    """Let each contestant label the same topic, one after the other."""
    topic = "end-to-end.comments"
    streams.preload(servers, topic, texts, int((seconds + WARM_UP_SECONDS) * MOST_A_SECOND))
    operations = [model.shape.operations(tokens) for tokens in model.token_counts(texts)]
    loop = ["-m", "tests.bench.contestants"]
    reads = ["--bootstrap-servers", servers, "--input-topic", topic, "--max-length", str(MAX_LENGTH)]
    checkpoint, bundle = ["--checkpoint", str(model.checkpoint)], ["--bundle", str(model.bundle)]
    prefixes = {OURS: "ours.", OURS_INT8: "int8."}
    ours, int8 = (
        streams.consumer_command(servers, model.bundle, topic, prefix) for prefix in prefixes.values()
    )
    contestants = {
        OURS: ours,
        OURS_INT8: [*int8, "--precision", "int8"],
        "transformers pipeline, batch 1": [*loop, "pipeline", *reads, *checkpoint],
        PIPELINE_32: [*loop, "pipeline", *reads, *checkpoint, "--batch", "32"],
        ONE_AT_A_TIME: [*loop, "one-at-a-time", *reads, *bundle],
    }
    measured = []
    for number, (name, command) in enumerate(contestants.items()):
        say(f"end to end: {name}")
        before = limit.matrix_product()
        output = f"end-to-end.{number}"
        if name in prefixes:
            outputs = streams.output_topics(prefixes[name])
            streams.create(servers, *outputs)
        else:
            outputs = [output]
            streams.create(servers, *outputs)
            command = [*command, "--output-topic", output]
        seen = _seen(servers, outputs, command, directory / f"end-to-end-{number}.log", seconds)
        peak = (before + limit.matrix_product()) / 2
        useful = sum(operations[n % len(texts)] for n in seen.counted) / seen.seconds
        measured.append(Measured(name, seen.rate, useful / peak))
        say(
            f"end to end: {name}: {seen.rate:.1f} comments/s, {useful / peak:.0%} of {peak / 1e9:.0f} GFLOP/s"
        )
    return measured


def _seen(servers: str, topics: Sequence[str], command: Sequence[str], log: Path, seconds: float) -> Arrivals:
    with streams.reading(servers, topics) as reader, streams.running(command, log) as process:
        return streams.watch(reader, process, log, seconds=seconds + WARM_UP_SECONDS).after(WARM_UP_SECONDS)


def report(measured: Sequence[Measured]) -> list[str]:
    """Markdown."""
    ours = next(one.rate for one in measured if one.name == OURS)
    lines = streams.table(
        [
            {
                "end to end through Kafka": one.name,
                "comments/s": f"{one.rate:.1f}",
                "of the limit": "" if one.name == OURS_INT8 else f"{one.share:.0%}",
                "urgency-router is": "" if one.name == OURS else f"{ours / one.rate:.2f} x as fast",
            }
            for one in measured
        ]
    )
    rates = {one.name: one.rate for one in measured}
    lines += [
        "",
        goals.at_least("of the limit", measured[0].share, 0.90),
        goals.at_least(f"times the {PIPELINE_32}", ours / rates[PIPELINE_32], 1.5),
        goals.at_least(f"times {ONE_AT_A_TIME}", ours / rates[ONE_AT_A_TIME], 1.25),
    ]
    times = rates[OURS_INT8] / ours
    if machine.has_int8_products():
        return [*lines, goals.at_least("int8 in times of fp32", times, 1.7)]
    return [*lines, f"- int8 in times of fp32: {times:.2f} (this CPU has no instructions for its products)"]
