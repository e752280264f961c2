"""Which checkpoints are refused, and what is said."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from export import checkpoint
from export.errors import CheckpointError


@pytest.fixture
def copied(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A checkpoint to break."""
    return shutil.copytree(tiny_checkpoint, tmp_path / "checkpoint")


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a JSON file."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_baked_in_truncation_and_padding_are_taken_out(tiny_checkpoint: Path) -> None:
    """The tokenizer neither cuts nor pads, although its file says 16 tokens."""
    tokenizer = checkpoint.read(tiny_checkpoint).tokenizer
    assert [len(tokenizer.encode(text)) for text in ("late", "late " * 100)] == [3, 102]


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "training.json"])
def test_missing_file_is_named(name: str, copied: Path) -> None:
    """A checkpoint without one of its files is refused by that file's name."""
    (copied / name).unlink()
    with pytest.raises(CheckpointError, match=re.escape(f"it lacks {name}")):
        checkpoint.read(copied)


def test_missing_weight_is_refused(copied: Path) -> None:
    """A weight that is not there is not replaced by random numbers."""
    weights = load_file(copied / "model.safetensors")
    del weights["classifier.weight"]
    save_file(weights, copied / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"lacks 1 weights, first classifier\.weight"):
        checkpoint.read(copied)


def test_damaged_weights_are_refused(copied: Path) -> None:
    """A cut model.safetensors is one sentence."""
    path = copied / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        checkpoint.read(copied)


def test_contradicting_labels_are_refused(copied: Path) -> None:
    """Labels in another order than the logits are refused."""
    edit(copied / "training.json", lambda training: training["labels"].reverse())
    with pytest.raises(CheckpointError, match=r"1, 2, 3, 4, 5 and training\.json 5, 4, 3, 2, 1"):
        checkpoint.read(copied)


@pytest.mark.parametrize("temperature", [0, -1.0, "1"])
def test_impossible_temperature_is_refused(temperature: object, copied: Path) -> None:
    """A temperature that is not a positive number is refused by name."""
    edit(copied / "training.json", lambda training: training.update(temperature=temperature))
    with pytest.raises(CheckpointError, match=r"training\.json: temperature"):
        checkpoint.read(copied)


def test_tail_beyond_max_length_is_refused(copied: Path) -> None:
    """A tail that leaves no room for [CLS] and [SEP] is refused before anything is exported."""
    edit(copied / "training.json", lambda training: training.update(tail=63))
    with pytest.raises(CheckpointError, match="tail 63, which does not fit into max_length 64"):
        checkpoint.read(copied)


def test_max_length_beyond_the_positions_is_refused(copied: Path) -> None:
    """Texts longer than the model has positions are refused before they crash it."""
    edit(copied / "training.json", lambda training: training.update(max_length=65))
    with pytest.raises(CheckpointError, match="max_length 65, and the model has only 64 positions"):
        checkpoint.read(copied)


def test_other_model_is_refused(copied: Path) -> None:
    """A pretrained BERT that was not fine-tuned is refused as such."""
    edit(copied / "config.json", lambda config: config.update(architectures=["BertModel"]))
    with pytest.raises(CheckpointError, match="holds BertModel"):
        checkpoint.read(copied)
