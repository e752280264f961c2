"""The baseline answers what ours answers, and the goal compares their rates."""

from functools import partial

import torch

from tests.gpu import baseline, batches
from tests.gpu.models import Model
from tests.gpu.record import Figure


def test_contestants_answer_as_ours(small: Model) -> None:
    """SDPA, compiled or not, gives padded texts our probabilities."""
    ready = batches.grouped(batches.drawn([3, 9, 9, 20, 60], vocabulary=100), 64)
    # The other backends would compile for half a minute.
    compiled = partial(torch.compile, dynamic=True, backend="eager")

    rows = baseline.compare(
        small, "cpu", ready, seconds=0.01, contestants={"SDPA": lambda model: model, "compiled": compiled}
    )

    assert [row["real mix, sorted by length"] for row in rows] == [baseline.OURS, "SDPA", "compiled"]
    assert all(float(row["largest difference from ours"]) < 1e-5 for row in rows)
    assert all(float(row["texts/s"]) > 0 for row in rows)


def test_failing_contestant_does_not_end_the_part(small: Model) -> None:
    """Where one cannot be made, ours and the other are measured, and the report says that one failed."""

    def failing(model: object) -> object:
        raise OSError("no compiler")

    ready = batches.grouped(batches.drawn([3, 9], vocabulary=100), 64)
    contestants = {"compiled": failing, "SDPA": lambda model: model}
    rows = baseline.compare(small, "cpu", ready, seconds=0.01, contestants=contestants)

    assert [row["failure"] for row in rows] == ["", "OSError: no compiler", ""]
    runs, goal = baseline.report(rows).verdicts
    assert (runs.held, runs.measured) == (False, "1 failed")
    assert goal.claim.startswith("1.5 x SDPA")


def test_goal_is_one_and_a_half_times_each() -> None:
    """Each contestant has its goal, which compares rates of the same model, and missing it is no fault."""
    rates = {("a", baseline.OURS): 30.0, ("a", "x"): 20.0, ("a", "y"): 21.0, ("b", baseline.OURS): 1.0}
    rows: list[dict[str, Figure]] = [
        {"model": model, "real mix, sorted by length": name, "texts/s": rate, "failure": ""}
        for (model, name), rate in rates.items()
    ]

    runs, *goals = baseline.report(rows).verdicts

    assert runs.held
    assert [(one.held, one.hard, one.measured) for one in goals] == [
        (True, False, "1.50 x"),
        (False, False, "1.43 x"),
    ]
