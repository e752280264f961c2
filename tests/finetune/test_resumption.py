"""The work directory between an interruption and the next run."""

import json
from pathlib import Path
from typing import Any

import pytest

from finetune import resumption
from finetune.errors import FinetuneError


def trained(work: Path, step: int, state: str | None = None) -> Path:
    """A checkpoint of Trainer, cut short if `state` is not whole JSON."""
    checkpoint = work / "trainer" / f"checkpoint-{step}"
    checkpoint.mkdir(parents=True)
    state = json.dumps({"global_step": step}) if state is None else state
    (checkpoint / "trainer_state.json").write_text(state)
    for name in ("model.safetensors", "optimizer.pt", "scheduler.pt"):
        (checkpoint / name).touch()
    return checkpoint


@pytest.mark.parametrize("gone", ["model.safetensors", "optimizer.pt", "scheduler.pt"])
def test_half_deleted_checkpoint_is_passed_over(gone: str, tmp_path: Path) -> None:
    """A checkpoint that was being deleted when the run was killed is removed, and an older one is taken."""
    whole = trained(tmp_path, 7)
    half = trained(tmp_path, 14)
    (half / gone).unlink()

    assert resumption.last_checkpoint(tmp_path / "trainer") == whole
    assert not half.exists()


def test_same_arguments_go_on(tmp_path: Path) -> None:
    """A run with the same arguments keeps what the interrupted one left."""
    work = tmp_path / "work"
    resumption.claim(work, {"epochs": 3})
    checkpoint = trained(work, 7)
    resumption.claim(work, {"epochs": 3})
    assert resumption.last_checkpoint(work / "trainer") == checkpoint


def test_other_arguments_do_not_destroy_training(tmp_path: Path) -> None:
    """A run with other arguments is refused, naming them, where training would be lost."""
    work = tmp_path / "work"
    resumption.claim(work, {"epochs": 3, "seed": 0})
    trained(work, 7)
    with pytest.raises(FinetuneError, match=r"differs in epochs:"):
        resumption.claim(work, {"epochs": 4, "seed": 0})


def test_other_arguments_replace_prepared_data(tmp_path: Path) -> None:
    """A run with other arguments throws away data prepared for the first one."""
    work = tmp_path / "work"
    resumption.claim(work, {"limit": 3})
    resumption.once(work / "data", lambda _: {"rows": 3})
    resumption.claim(work, {"limit": 4})
    assert resumption.once(work / "data", lambda _: {"rows": 4}) == {"rows": 4}


def test_once_is_once(tmp_path: Path) -> None:
    """What was written whole is not written again."""
    assert resumption.once(tmp_path / "data", lambda _: {"rows": 3}) == {"rows": 3}
    assert resumption.once(tmp_path / "data", lambda _: {"rows": 4}) == {"rows": 3}


def test_once_leaves_nothing_half_written(tmp_path: Path) -> None:
    """A failure while writing leaves no directory, and the next try starts afresh."""

    def fail(folder: Path) -> dict[str, Any]:
        (folder / "stale").touch()
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        resumption.once(tmp_path / "data", fail)
    assert not (tmp_path / "data").exists()
    resumption.once(tmp_path / "data", lambda _: {})
    assert [file.name for file in (tmp_path / "data").iterdir()] == ["record.json"]


@pytest.mark.parametrize("state", ["", '{"global_step":', "{}"])
def test_a_checkpoint_cut_short_is_removed(tmp_path: Path, state: str) -> None:
    """Of several checkpoints the latest whole one is taken, and those cut short are removed."""
    trained(tmp_path, 90)
    latest = trained(tmp_path, 100)
    cut = trained(tmp_path, 110, state)
    assert resumption.last_checkpoint(tmp_path / "trainer") == latest
    assert not cut.exists()


def test_publishing_removes_the_old_mark_first(tmp_path: Path) -> None:
    """While files of a new checkpoint replace an old one's, no training.json says it is finished."""
    new, output = tmp_path / "new", tmp_path / "output"
    for folder in (new, output):
        folder.mkdir()
        (folder / "training.json").write_text(folder.name)
    (new / "model.safetensors").mkdir()
    (output / "model.safetensors").touch()
    with pytest.raises(OSError, match=r"model\.safetensors"):
        resumption.publish(new, output)
    assert not (output / "training.json").exists()
