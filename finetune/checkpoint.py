"""Reading a checkpoint that `python -m finetune` wrote."""

import json
from pathlib import Path
from typing import Any

from finetune.errors import CheckpointError

NEEDED = {"labels", "routes", "max_length", "tail", "temperature", "measures", "baselines"}


def read_record(directory: Path) -> dict[str, Any]:
    """Return `training.json`.

    Raises:
        CheckpointError: it is missing, no JSON, or of an older version.
    """
    path = directory / "training.json"
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"cannot read {path} ({error}): name a directory that `python -m finetune` wrote"
        ) from None
    if missing := sorted(NEEDED - record.keys()):
        raise CheckpointError(
            f"{path} is of an older version, it lacks {', '.join(missing)}: fine-tune again"
        )
    return record
