"""What is kept and shown."""

from pathlib import Path

import pytest

from tests.gpu.record import Entry, Record, Result, Verdict, earlier

HERE = Record(machine="H100", versions={"PyTorch": "2.13", "CUDA": "13.0"})


def recorded(*verdicts: Verdict) -> Record:
    """A record of a part that ran and one that failed."""
    result = Result(
        rows=[{"model": "small", "texts/s": 12345.6, "share": 0.51234, "n": 2}], verdicts=list(verdicts)
    )
    parts = {
        "speed": Entry(at="now", seconds=12.3, result=result),
        "memory": Entry(at="now", seconds=0.2, failure="RuntimeError: out of it"),
    }
    return HERE.model_copy(update={"parts": parts})


def test_record_is_markdown() -> None:
    """The machine stands on top, and each part has a heading, a table, its verdicts or its failure."""
    record = recorded(
        Verdict(claim="it is flat", measured="0 MB", held=True, hard=True),
        Verdict(claim="it is right", measured="90 %", held=False, hard=True),
        Verdict(claim="half of the limit", measured="48 %", held=False, hard=False),
    )

    assert record.markdown() == [
        "Measured on H100; PyTorch 2.13, CUDA 13.0.",
        "",
        "### speed (12 s)",
        "",
        "| model | texts/s | share | n |",
        "| --- | ---: | ---: | ---: |",
        "| small | 12,346 | 0.512 | 2 |",
        "",
        "- it is flat: holds (0 MB)",
        "- it is right: DOES NOT HOLD (90 %)",
        "- goal, half of the limit: missed (48 %)",
        "",
        "### memory (0 s)",
        "",
        "- failed: RuntimeError: out of it",
    ]


def test_same_machine_adds_to_its_record(tmp_path: Path) -> None:
    """What the same machine measured before with the same libraries is kept, figures and all."""
    recorded().save(tmp_path)

    assert earlier(tmp_path, HERE) == recorded()


@pytest.mark.parametrize("change", [{"machine": "A100"}, {"versions": {"PyTorch": "2.14", "CUDA": "13.0"}}])
def test_other_machine_starts_anew(change: dict[str, object], tmp_path: Path) -> None:
    """Figures of another machine, or of other libraries, never stand beside new ones."""
    recorded().save(tmp_path)

    assert earlier(tmp_path, HERE.model_copy(update=change)).parts == {}


def test_broken_record_is_replaced(tmp_path: Path) -> None:
    """A record that cannot be read is as good as none."""
    (tmp_path / "gpu.json").write_text("{")

    assert earlier(tmp_path, HERE) == HERE


def test_not_a_number_is_kept(tmp_path: Path) -> None:
    """A figure that is NaN does not cost the record."""
    entry = Entry(at="now", seconds=1.0, result=Result(rows=[{"apart": float("nan")}]))
    HERE.model_copy(update={"parts": {"speed": entry}}).save(tmp_path)

    assert list(earlier(tmp_path, HERE).parts) == ["speed"]
    assert "| nan |" in (tmp_path / "gpu.md").read_text()
