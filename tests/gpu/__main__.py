"""Show all that a GPU can show of this project: ``make gpu-check``, or ``python -m tests.gpu``."""

import argparse
import gc
import logging
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import onnxruntime
import torch
import transformers

from consumer.errors import one_line
from tests.bench import machine
from tests.gpu.parts import PARTS, Part
from tests.gpu.record import Entry, Record, earlier
from tests.gpu.run import Run
from tests.gpu.usable import missing

SAMPLE = Path(__file__).parents[2] / "finetune" / "sample" / "comments.tsv"
FAULT, NO_GPU = 1, 3
EXIT_CODES = f"""\
exit codes: 0 all parts ran and every claim holds, goals missed or not; {FAULT} a part failed, or a claim does
not hold; 2 a flag is wrong; {NO_GPU} this machine has no usable GPU, and nothing was measured or written"""


def main(arguments: Sequence[str]) -> int:
    """Run the parts, write what they found, and print it; the exit code."""
    options = _parser().parse_args(arguments)
    if reason := missing():
        print(f"gpu-check: {reason}", file=sys.stderr)
        return NO_GPU
    # Readers come before their topics have anything to read, and kafka-python says so.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    transformers.utils.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    options.output.mkdir(parents=True, exist_ok=True)
    record = Record(machine=machine.describe(), versions=versions())
    if options.parts:
        record = earlier(options.output, record)
    names = options.parts or PARTS
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as directory:
        run = Run("cuda", options.data, Path(directory), options.output, options.seconds, say)
        sound = run_parts({name: PARTS[name] for name in names}, run, record)
    print("", *record.markdown(), sep="\n")
    return 0 if sound else FAULT


def run_parts(parts: Mapping[str, Part], run: Run, record: Record) -> bool:
    """Run each part and save the record after it; whether all ran and every hard claim held."""
    sound = True
    for name, part in parts.items():
        say(name)
        entry = _entry(name, part, run)
        # A part that is run again comes last, as what is newest.
        record.parts.pop(name, None)
        record.parts[name] = entry
        record.save(run.logs)
        sound &= entry.sound
        say(f"{name}: {_outcome(entry)} after {entry.seconds:.0f} s")
        _free()
    return sound


def versions() -> dict[str, str]:
    """The libraries that decide what is measured."""
    return {
        "PyTorch": torch.__version__,
        "CUDA": torch.version.cuda or "none",
        "ONNX Runtime": onnxruntime.__version__,
        "transformers": transformers.__version__,
    }


def say(line: str) -> None:
    """Tell what happens, with the time."""
    print(time.strftime("%H:%M:%S"), line, flush=True)


def _entry(name: str, part: Part, run: Run) -> Entry:
    started = time.perf_counter()
    result, failure = None, None
    try:
        result = part(run)
    except Exception as error:
        failure = f"{type(error).__name__}: {one_line(error)}"
        (run.logs / f"gpu.{name}.traceback").write_text(traceback.format_exc())
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Entry(at=now, seconds=time.perf_counter() - started, result=result, failure=failure)


def _outcome(entry: Entry) -> str:
    if entry.failure:
        return f"failed ({entry.failure})"
    return "done" if entry.sound else "done, and a claim DOES NOT HOLD"


def _free() -> None:
    """Give the device back what the part held, so that the next one finds it as the first did."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.gpu",
        description=__doc__,
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=PARTS,
        help="what to run (default: all); adds to what the same machine has measured before",
    )
    parser.add_argument(
        "--data", type=Path, default=SAMPLE, metavar="FILE", help="labelled comments (default: the sample)"
    )
    parser.add_argument(
        "--seconds", type=float, default=3.0, metavar="S", help="of each measurement (default: %(default)s)"
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(".bench"),
        metavar="DIR",
        help="for gpu.json, gpu.md and logs (default: %(default)s)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
