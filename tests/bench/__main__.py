"""Measure everything that this project says of its speed: ``make bench``, or ``python -m tests.bench``."""

import argparse
import logging
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson
from transformers.utils import logging as transformers_logging

from deploy.local.broker import Broker
from deploy.local.produce import read_comments
from tests.bench import (
    end_to_end,
    finetuning,
    growth,
    latency,
    machine,
    models,
    overhead,
    pictures,
    starting,
)

SAMPLE = Path(__file__).parents[2] / "finetune" / "sample" / "comments.tsv"
PARTS = ("end-to-end", "overhead", "latency", "start", "growth", "fine-tuning", "soak")
FINE_TUNING_STEPS = 40


def main(arguments: Sequence[str]) -> int:
    """Run the parts and print a report in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS[:-1], help="what to measure")
    parser.add_argument("--data", type=Path, default=SAMPLE, help="file of comments (default: the sample)")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement")
    parser.add_argument("--soak-minutes", type=float, default=20.0)
    parser.add_argument("--output", type=Path, default=Path(".bench"), help="report and logs")
    options = parser.parse_args(arguments)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    # Readers come before their topics have anything to read, and kafka-python says so.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    options.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-") as directory, Broker() as broker:
        lines = [f"Measured on {machine.describe()}.", ""]
        for part in _parts(options, Path(directory), broker.bootstrap_servers):
            lines += [*part, ""]
            (options.output / "report.md").write_text("\n".join(lines))
    print("", *lines, sep="\n")
    return 0


def _parts(options: argparse.Namespace, directory: Path, servers: str) -> Iterator[list[str]]:
    texts = [orjson.loads(comment.value)["text"] for comment in read_comments(options.data, Counter())]
    logs, seconds, parts = options.output, options.seconds, options.parts
    _say("making the models")
    model = models.pretrained(directory / "pretrained", texts)
    small = models.next_to_nothing(directory / "next-to-nothing", texts)
    counts = model.token_counts(texts)
    yield [
        f"{len(texts):,} comments of {sum(counts) / len(counts):.0f} tokens on average, {max(counts)} at"
        f" most; a BERT of {model.shape.layers} layers, {model.shape.hidden} wide."
    ]
    if {"end-to-end", "latency"} & set(parts):
        measured = end_to_end.run(servers, model, texts, logs, seconds=seconds, say=_say)
        pictures.rates(measured, logs / "end-to-end.svg")
        yield end_to_end.report(measured)
    if "overhead" in parts:
        yield overhead.report(*overhead.run(servers, small, texts, logs, seconds=seconds, say=_say))
    if "latency" in parts:
        delays, lone = latency.run(
            servers, model, texts, logs, backlog_rate=measured[0].rate, seconds=2 * seconds, say=_say
        )
        pictures.delays(delays, logs / "delay.svg")
        yield latency.report(delays, lone)
    if "start" in parts:
        yield starting.report(starting.run(servers, model, logs, say=_say))
    if "growth" in parts:
        grown = growth.run(servers, model, small, texts, logs, seconds=seconds / 2, say=_say)
        pictures.rates_of_growth(grown, logs / "growth.svg")
        yield growth.report(grown)
    if "fine-tuning" in parts:
        folder = directory / "fine-tuning"
        folder.mkdir()
        yield finetuning.report(finetuning.run(options.data, folder, steps=FINE_TUNING_STEPS, say=_say))
    if "soak" in parts:
        points = growth.soak(servers, model, texts, logs, minutes=options.soak_minutes, say=_say)
        yield growth.report_soak(points)


def _say(line: str) -> None:
    print(time.strftime("%H:%M:%S"), line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
