"""Reading a checkpoint that `python -m finetune` wrote."""

import json
from pathlib import Path
from typing import Any

from finetune.errors import CheckpointError


def read_record(directory: Path) -> dict[str, Any]:
    """Return `training.json`.

    Raises:
        CheckpointError: it is missing or no JSON.
    """
    path = directory / "training.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"cannot read {path} ({error}): name a directory that `python -m finetune` wrote"
        ) from None
