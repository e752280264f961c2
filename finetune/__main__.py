"""`python -m finetune`: files of labelled comments in, checkpoint out; and what can be done with it then."""

import importlib
import logging
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from finetune.errors import FinetuneError, Interrupted
from finetune.settings import parse_settings

# What can be asked for instead of training, and the module that does it.
COMMANDS = {"advise": "advice", "check": "behaviour", "collect": "collect", "measure": "measuring"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run and return the exit status: 0, 1 with one sentence on stderr, or 128 + the signal's number.

    `check` gives 1 as well when the checkpoint does not pass.
    """
    argv = sys.argv[1:] if argv is None else argv
    command = COMMANDS.get(argv[0]) if argv else None
    first = os.environ.get("RANK", "0") == "0"
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    logging.basicConfig(format="%(message)s", level=logging.ERROR)
    logging.getLogger("finetune").setLevel(logging.INFO if first else logging.ERROR)
    _quieten(_progress_bar())
    # Threads that wait must sleep: where other programs share the processors, spinning made a step take
    # several times as long (two cores, five programs).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        if command:
            return int(importlib.import_module(f"finetune.{command}").main(argv[1:]))
        return _train(argv)
    except Interrupted as interruption:
        then = "" if command else ": run the same command again to go on from there"
        print(f"interrupted ({interruption}){then}", file=sys.stderr)
        return 128 + interruption.number
    except (FinetuneError, OSError) as error:
        print(f"finetune: {error}", file=sys.stderr)
        return 1


def _train(argv: Sequence[str]) -> int:
    settings = parse_settings(argv)
    # Imported here: torch and transformers take seconds, which --help and a typing error need not cost.
    from finetune.run import run

    run(settings, progress_bar=_progress_bar())
    return 0


def _progress_bar() -> bool:
    return os.environ.get("RANK", "0") == "0" and sys.stderr.isatty()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted(number)


def _quieten(progress_bar: bool) -> None:
    """Keep the libraries, not yet imported, to errors, and to bars on a terminal."""
    for library in ("TRANSFORMERS", "DATASETS", "HF_HUB"):
        os.environ.setdefault(f"{library}_VERBOSITY", "error")
    if not progress_bar:
        for library in ("HF_DATASETS", "HF_HUB"):
            os.environ.setdefault(f"{library}_DISABLE_PROGRESS_BARS", "1")


if __name__ == "__main__":
    sys.exit(main())
