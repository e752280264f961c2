"""Which parts run, what is kept of them, and the exit code."""

from pathlib import Path

import pytest
import torch

from tests.gpu.__main__ import NO_GPU, main, run_parts
from tests.gpu.record import Record, Result, Verdict
from tests.gpu.run import Run

HERE = {"machine": "this one", "versions": {"PyTorch": "2"}}


def run_in(directory: Path) -> Run:
    """A run that keeps quiet, with its output in the directory."""
    return Run("cpu", directory / "none.tsv", directory, directory, 0.0, lambda line: None)


def kept_in(directory: Path) -> Record:
    """What lies on disk."""
    return Record.model_validate_json((directory / "gpu.json").read_bytes())


def result(*, held: bool = True, hard: bool = True) -> Result:
    """A result with one verdict."""
    verdict = Verdict(claim="it is so", measured="7", held=held, hard=hard)
    return Result(rows=[{"texts/s": 7.0}], verdicts=[verdict])


def test_no_gpu_has_its_own_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Without a usable GPU it ends with code 3, one sentence on stderr, and nothing written."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    code = main(["--output", str(tmp_path / "out")])

    printed = capsys.readouterr()
    assert (code, NO_GPU) == (3, 3)
    assert printed.out == ""
    assert printed.err.startswith("gpu-check: PyTorch finds no usable NVIDIA GPU: run this where")
    assert printed.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_failing_part_does_not_end_the_run(tmp_path: Path) -> None:
    """A part that fails is recorded with its reason on one line, and the next one runs."""

    def failing(run: Run) -> Result:
        raise ValueError("out of\nluck")

    record = Record.model_validate(HERE)
    sound = run_parts({"first": failing, "second": lambda run: result()}, run_in(tmp_path), record)

    kept = kept_in(tmp_path)
    assert not sound
    assert kept.parts["first"].failure == "ValueError: out of?luck"
    assert kept.parts["second"].result == result()
    assert "in failing" in (tmp_path / "gpu.first.traceback").read_text()


def test_result_is_kept_at_once(tmp_path: Path) -> None:
    """Ended in the middle of a part, the run has left what the parts before found."""

    def interrupted(run: Run) -> Result:
        raise KeyboardInterrupt

    record = Record.model_validate(HERE)
    with pytest.raises(KeyboardInterrupt):
        run_parts({"first": lambda run: result(), "second": interrupted}, run_in(tmp_path), record)

    assert list(kept_in(tmp_path).parts) == ["first"]
    assert "### first" in (tmp_path / "gpu.md").read_text()


@pytest.mark.parametrize(
    ("held", "hard", "sound"), [(True, True, True), (False, True, False), (False, False, True)]
)
def test_only_hard_claims_decide(held: bool, hard: bool, sound: bool, tmp_path: Path) -> None:
    """A claim that does not hold makes the run unsound, and a goal that is missed does not."""
    parts = {"only": lambda run: result(held=held, hard=hard)}

    assert run_parts(parts, run_in(tmp_path), Record.model_validate(HERE)) is sound
