"""`python -m export CHECKPOINT --output BUNDLE`: flags -> bundle."""

import argparse
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, get_args

from consumer import bundle
from consumer.bundle import VariantName
from consumer.errors import UrgencyRouterError
from export.errors import ExportError
from export.progress import numbered

if TYPE_CHECKING:
    from export.bundling import Written

VARIANTS: tuple[VariantName, ...] = get_args(VariantName)
# Written where it is good enough, unless asked for by name.
OPTIONAL: tuple[VariantName, ...] = ("cpu-int8",)


def main(argv: Sequence[str] | None = None) -> int:
    """Export a checkpoint; return the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        _export(arguments)
    except (ExportError, UrgencyRouterError) as error:
        print(f"export: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("export: interrupted, no bundle was written", file=sys.stderr)
        return 128 + signal.SIGINT
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m export",
        description="Turn a checkpoint into the bundle that the consumer runs, compared with PyTorch.",
    )
    parser.add_argument("--version", action="version", version=version("urgency-router"))
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="directory that finetune wrote")
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="BUNDLE",
        help="directory of the bundle; an old one is replaced",
    )
    parser.add_argument(
        "--variants",
        nargs="+",
        choices=VARIANTS,
        help="models to write; cpu is fp32, cuda fp16 (default: all, cpu-int8 if it is within its limits)",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FILE",
        help="TSV, CSV, JSON Lines or Parquet file whose first texts to compare on (default: the test split)",
    )
    parser.add_argument(
        "--text-column", default="review_body", metavar="NAME", help="its text column (default: %(default)s)"
    )
    parser.add_argument(
        "--name", help="the model's name in labelled messages (default: the checkpoint's directory)"
    )
    return parser


def _export(arguments: argparse.Namespace) -> None:
    variants: list[VariantName] = list(dict.fromkeys(arguments.variants or VARIANTS))
    checkpoint_directory, destination = arguments.checkpoint.resolve(), arguments.output.resolve()
    # One step here, three in bundling.write, and there one for each variant.
    step = numbered(4 + len(variants))
    step(f"reading the checkpoint {arguments.checkpoint}")
    # Imported here: torch takes seconds to load, and a wrong flag should not wait for it.
    from transformers.utils import logging

    from export import bundling, checkpoint, texts

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    read = checkpoint.read(checkpoint_directory)
    if arguments.data is None:
        compared = texts.from_test_split(checkpoint_directory)
    else:
        compared = texts.from_file(arguments.data, arguments.text_column)
    written = bundling.write(
        read,
        destination,
        name=arguments.name or checkpoint_directory.name,
        variants=variants,
        optional=() if arguments.variants else OPTIONAL,
        texts=compared,
        golden_texts=texts.golden(),
        step=step,
    )
    _report(destination, written)


def _report(destination: Path, written: "Written") -> None:
    row = "{:<8} {:<9} {:>9} {:>6} {:>19} {:>16}".format
    print()
    print(row("variant", "precision", "size", "texts", "largest difference", "label agreement"))
    for name, outcome in written.outcomes.items():
        variant, agreement = outcome.variant, outcome.variant.agreement
        measured = (
            (
                agreement.texts,
                f"{agreement.largest_probability_difference:.2g}",
                f"{agreement.label_agreement:.2%}",
            )
            if agreement
            else ("-", "unchecked", "unchecked")
        )
        print(row(name, variant.precision, f"{outcome.size / 1e6:.1f} MB", *measured))
    for name, reason in written.left_out.items():
        print(f"\nThe {name} variant is left out: {reason}.")
    for name, outcome in written.outcomes.items():
        if outcome.unchecked and (rehearsal := outcome.rehearsal):
            print(
                f"\nThe {name} variant is unchecked: {outcome.unchecked}. Run on the CPU, its fp16 numbers"
                f" (attention not packed) move probabilities of {rehearsal.texts} golden comments by up to"
                f" {rehearsal.largest_probability_difference:.2g}. Where the variant first runs, the consumer"
                " compares it with the golden comments before it takes work."
            )
    manifest = bundle.read(destination).manifest
    print(
        f"\nBundle {manifest.name}, version {manifest.version}, is in {destination}. Start the consumer with"
    )
    print(f"  python -m consumer --bundle {destination} --bootstrap-servers HOST:PORT")


def _terminate(signal_number: int, _frame: FrameType | None) -> None:
    # Once is enough: a second one would interrupt the clearing up.
    signal.signal(signal_number, signal.SIG_IGN)
    sys.exit(128 + signal_number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _terminate)
    # A shell starts what it puts into the background with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())
