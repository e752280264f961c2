"""How many cores there are to use."""

import os
from pathlib import Path

import pytest

from consumer.cores import cores

ALLOWED = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("50000 100000", 1), ("100000 100000", 1), ("6400000 100000", ALLOWED), ("max 100000", ALLOWED)],
)
def test_quota_of_a_container_counts(tmp_path: Path, quota: str, expected: int) -> None:
    """A container's CPU time bounds the cores, rounded up; without a bound it is those of the affinity."""
    (tmp_path / "cpu.max").write_text(f"{quota}\n")

    assert cores(tmp_path / "cpu.max") == expected


def test_part_of_a_core_counts_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One and a half cores' time keeps two threads busy, not one and not eight."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    (tmp_path / "cpu.max").write_text("150000 100000\n")

    assert cores(tmp_path / "cpu.max") == 2


def test_machine_without_such_files(tmp_path: Path) -> None:
    """Where there are no such limits, the affinity alone counts."""
    assert cores(tmp_path / "nothing") == ALLOWED
