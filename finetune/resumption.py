"""The work directory: what an interrupted run leaves so that the same command goes on from there.

arguments.json   what the run was told, and which version; another run must not go on with it
data/            the tokenised splits and record.json, whole or absent
trainer/         Trainer's checkpoints
checkpoint/      the finished checkpoint before it moves into the output
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from finetune.errors import FinetuneError


def claim(work: Path, arguments: dict[str, Any]) -> None:
    """Take the work directory for a run with these arguments (as JSON gives them back).

    A run with the same arguments goes on with what is there. Leftovers of another one are thrown away unless
    they hold training: then raises FinetuneError, since that may be days of work.
    """
    stored = work / "arguments.json"
    before = json.loads(stored.read_text()) if stored.is_file() else {}
    changed = [name for name in arguments if before.get(name) != arguments[name]]
    if changed and last_checkpoint(work / "trainer"):
        raise FinetuneError(
            f"{work} holds an interrupted run that differs in {', '.join(changed)}: "
            "finish it as it was begun, or delete that folder to start anew"
        )
    if changed:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        write_json(stored, arguments)


def once(directory: Path, write: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """Return what `write(folder)` returned, calling it only if the directory is not there yet.

    It writes beside the directory, which appears whole or not at all.
    """
    record = directory / "record.json"
    if not record.is_file():
        partial = directory.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        write_json(partial / record.name, write(partial))
        partial.rename(directory)
    return dict(json.loads(record.read_text()))


def last_checkpoint(directory: Path) -> Path | None:
    """Return the latest complete checkpoint of Trainer, and remove those cut short.

    One may have been cut short while written, of which trainer_state.json is the end, or while deleted, which
    takes its files in any order.
    """
    complete: dict[int, Path] = {}
    for checkpoint in directory.glob("checkpoint-*"):
        try:
            step = json.loads((checkpoint / "trainer_state.json").read_text())["global_step"]
            for needed in ("model.safetensors", "optimizer.pt", "scheduler.pt"):
                (checkpoint / needed).stat()
        except (OSError, ValueError, KeyError):
            shutil.rmtree(checkpoint)
        else:
            complete[step] = checkpoint
    return complete[max(complete)] if complete else None


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that the file is there whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
    partial.replace(path)


def publish(checkpoint: Path, output: Path) -> None:
    """Move the files of a finished checkpoint into the output, `training.json` last.

    That file marks a finished checkpoint, so the output's old one goes first.
    """
    mark = "training.json"
    (output / mark).unlink(missing_ok=True)
    for file in sorted(checkpoint.iterdir(), key=lambda file: file.name == mark):
        file.replace(output / file.name)
