"""Faults in rounds, then a flood of random messages: ``python -m tests.integration.faults``."""

import argparse
import logging
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from deploy.local.errors import LocalError
from export.__main__ import main as export
from tests.conftest import build_checkpoint, comments
from tests.integration.faults import chaos, flood, patience
from tests.integration.faults.chaos import Survived
from tests.integration.faults.faults import FAULTS
from tests.integration.faults.patience import NotSurvived


def main(arguments: Sequence[str]) -> int:
    """Run both acts, print a Markdown table of what happened, and give 0 if no promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.integration.faults", description=__doc__)
    parser.add_argument("--comments", type=int, default=200_000, help="comments during the faults")
    parser.add_argument("--rounds", type=int, default=10, help="how often each fault strikes")
    parser.add_argument("--messages", type=int, default=1_000_000, help="random messages")
    parser.add_argument("--bundle", type=Path, help="consumers' model (default: a small one, made now)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    options = parser.parse_args(arguments)
    # Connections are lost all the time here, and kafka-python logs each.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    directory = Path(tempfile.mkdtemp(prefix="chaos-"))
    _say(f"seed {options.seed}, logs in {directory}")
    try:
        complaints = _run(directory, options)
    except (NotSurvived, LocalError) as error:
        complaints = [str(error)]
    except BaseException:
        shutil.rmtree(directory)
        raise
    if complaints:
        print(f"\nNOT survived (seed {options.seed}, logs in {directory}):", *complaints, sep="\n")
        return 1
    shutil.rmtree(directory)
    return 0


def _run(directory: Path, options: argparse.Namespace) -> list[str]:
    start = time.monotonic()
    bundle = options.bundle or directory / "bundle"
    if options.bundle is None:
        _say("making a small model")
        build_checkpoint(directory / "checkpoint", test_texts=comments(520))
        if code := export([str(directory / "checkpoint"), "--output", str(bundle)]):
            return [f"the export of the small model ended with code {code}"]
    result = chaos.run(
        directory,
        bundle,
        comments=options.comments,
        rounds=options.rounds,
        seed=options.seed,
        say=_say,
    )
    _say(f"{options.messages:,} random messages")
    flooded, complaints = flood.run(directory, bundle, messages=options.messages, seed=options.seed)
    minutes = (time.monotonic() - start) / 60
    print(
        "",
        *_table(result.survived, options.rounds),
        "",
        f"- under faults: {result.verdict}",
        f"- random messages: {flooded}",
        f"- {minutes:.0f} minutes, seed {options.seed}, {_machine()}",
        sep="\n",
    )
    return [*result.complaints, *complaints]


def _table(survived: Sequence[Survived], rounds: int) -> list[str]:
    """Markdown, a line for each fault."""
    lines = [
        "| fault | rounds | survived | longest silence a reader saw (s) | longest delay of a comment (s) |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for fault in FAULTS:
        of_fault = [one for one in survived if one.fault == fault]
        silence, delay = max(one.silence for one in of_fault), max(one.delay for one in of_fault)
        lines.append(f"| {fault} | {rounds} | {len(of_fault)} | {silence:.1f} | {delay:.1f} |")
    return lines


def _machine() -> str:
    gigabytes = psutil.virtual_memory().total / 2**30
    return f"{psutil.cpu_count()} cores, {gigabytes:.0f} GB of memory, {sys.platform}"


def _say(line: str) -> None:
    print(time.strftime("%H:%M:%S"), line, flush=True)


def _stop(number: int, _: object) -> None:
    patience.told_to_stop.set()
    # Whoever asks twice does not want to wait.
    signal.signal(number, signal.SIG_DFL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
