"""What each part found: kept on disk at once, and shown as Markdown."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from tests.bench import streams

Figure = int | float | str


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Verdict(_Frozen):
    """Whether something measured is as it should be.

    A hard claim that does not hold is a fault; a goal that is missed is work left to do.
    """

    claim: str
    measured: str
    held: bool
    hard: bool


class Result(_Frozen):
    """What a part measured: the rows of one table, all with the same columns, and what follows from them."""

    rows: Sequence[Mapping[str, Figure]]
    verdicts: Sequence[Verdict] = ()


class Entry(_Frozen):
    """A part that has run.

    at: when it ended, ISO 8601
    seconds: how long it took
    failure: why it failed, None where it did not
    """

    at: str
    seconds: float
    result: Result | None = None
    failure: str | None = None

    @property
    def sound(self) -> bool:
        """It ran, and every hard claim held; goals may be missed."""
        return self.result is not None and all(one.held for one in self.result.verdicts if one.hard)


class Record(BaseModel):
    """The parts that have run on one machine with one set of libraries."""

    # A figure may be NaN, which JSON does not have.
    model_config = ConfigDict(ser_json_inf_nan="strings")

    machine: str
    versions: dict[str, str]
    parts: dict[str, Entry] = {}

    def save(self, directory: Path) -> None:
        """Write gpu.json and gpu.md, each there whole or not at all."""
        contents = {"gpu.json": self.model_dump_json(indent=2), "gpu.md": "\n".join(self.markdown())}
        for name, content in contents.items():
            partial = directory / f"{name}.partial"
            partial.write_text(content + "\n")
            partial.replace(directory / name)

    def markdown(self) -> list[str]:
        """The machine, then each part with its table and verdicts."""
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        lines = [f"Measured on {self.machine}; {versions}."]
        for name, entry in self.parts.items():
            lines += ["", f"### {name} ({entry.seconds:.0f} s)", "", *_shown(entry)]
        return lines


def earlier(directory: Path, fresh: Record) -> Record:
    """The record already on disk, to be added to; the fresh one if that is of another machine or none."""
    try:
        found = Record.model_validate_json((directory / "gpu.json").read_bytes())
    except (OSError, ValueError):
        return fresh
    same = (found.machine, found.versions) == (fresh.machine, fresh.versions)
    return found if same else fresh


def _shown(entry: Entry) -> list[str]:
    if entry.result is None:
        return [f"- failed: {entry.failure}"]
    rows = [{name: _figure(value) for name, value in row.items()} for row in entry.result.rows]
    lines = streams.table(rows) if rows else []
    verdicts = [f"- {_verdict(one)}" for one in entry.result.verdicts]
    return [*lines, "", *verdicts] if lines and verdicts else lines + verdicts


def _verdict(verdict: Verdict) -> str:
    if verdict.hard:
        return f"{verdict.claim}: {'holds' if verdict.held else 'DOES NOT HOLD'} ({verdict.measured})"
    return f"goal, {verdict.claim}: {'reached' if verdict.held else 'missed'} ({verdict.measured})"


def _figure(value: Figure) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else value
