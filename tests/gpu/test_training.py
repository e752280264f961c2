"""Fine-tuning, watched through what it logs."""

from pathlib import Path

import pytest

from tests.gpu import training
from tests.gpu.__main__ import SAMPLE
from tests.gpu.training import Logged, Trained


def test_fine_tuning_is_watched(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """Two epochs give losses in two stretches, the last step's included, a rate, and a whole checkpoint."""
    flags = ["--base-model", str(tiny_checkpoint), "--epochs", "2", "--limit", "200", "--batch-size", "8"]

    trained = training.train(SAMPLE, tmp_path / "checkpoint", tmp_path / "log", *flags)

    steps = [[logged.step for logged in stretch] for stretch in trained.stretches]
    # 160 of the 200 comments are trained on.
    assert steps == [list(range(2, 21, 2)), list(range(22, 41, 2))]
    assert trained.steps_a_second > 0
    assert training.report(trained).rows[0]["steps"] == 40
    assert (trained.checkpoint / "training.json").is_file()
    assert "macro" in (tmp_path / "log").read_text()


def test_evaluations_do_not_count() -> None:
    """The rate leaves out the time between two stretches."""
    stretches = [
        [Logged(0.0, 10, 2.0), Logged(5.0, 20, 1.5)],
        [Logged(100.0, 30, 1.2), Logged(105.0, 40, 1.0)],
    ]

    assert Trained(Path(), True, stretches).steps_a_second == pytest.approx(2.0)
    assert Trained(Path(), True, stretches).losses == [2.0, 1.5, 1.2, 1.0]


@pytest.mark.parametrize(("last", "held"), [(1.0, True), (1.7, False), (float("nan"), False)])
def test_loss_must_fall(last: float, held: bool) -> None:
    """A loss that rises, or is not a number, does not pass."""
    assert training.falls(1.6, last).held is held
