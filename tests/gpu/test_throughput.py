"""Throughput through a session on the CPU."""

import dataclasses

import pytest

from consumer.classifier import TOKEN_BUDGETS
from tests.conftest import comments
from tests.gpu import peak, throughput
from tests.gpu.models import Model
from tests.gpu.throughput import MIX, Measured

ONE = Measured("base", "128", 1024, chosen=True, alone=10.0, tokenised=9.0, share=0.5, product=1e12)


def test_session_is_measured(small: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each length and each budget of the real mix has its rates, and the share follows from rate and work."""
    monkeypatch.setitem(peak.SIZES, "cpu", 256)

    measured = throughput.measure(small, "cpu", comments(30), mix=40, seconds=0.02, lengths=(8, 64))

    chosen = measured[0].budget
    assert [(one.length, one.budget, one.chosen) for one in measured] == [
        ("8", chosen, True),
        ("64", chosen, True),
        *((MIX, budget, budget == chosen) for budget in TOKEN_BUDGETS["cpu"]),
    ]
    assert all(one.tokenised > 0 for one in measured)
    for one in measured[:2]:
        work = one.alone * small.shape.operations(int(one.length))
        assert one.share == pytest.approx(work / one.product)


@pytest.mark.parametrize(("share", "held"), [(0.49, False), (0.51, True)])
def test_limit_is_that_of_one_length(share: float, held: bool) -> None:
    """The goal looks at the one model and length that it names, and missing it is no fault."""
    measured = [
        dataclasses.replace(ONE, model="other"),
        dataclasses.replace(ONE, length="64"),
        dataclasses.replace(ONE, share=share),
    ]

    [verdict] = throughput.report(measured, goal_model="base").verdicts

    assert (verdict.held, verdict.hard) == (held, False)


@pytest.mark.parametrize(("rate", "held"), [(9.4, False), (9.6, True), (11.0, True)])
def test_choice_is_compared_with_the_best(rate: float, held: bool) -> None:
    """The budget chosen must be nearly as fast as the fastest for the same model."""
    measured = [
        dataclasses.replace(ONE, length=MIX, chosen=True, alone=rate),
        dataclasses.replace(ONE, length=MIX, chosen=False, alone=10.0),
        dataclasses.replace(ONE, length=MIX, chosen=False, alone=99.0, model="other"),
    ]

    [verdict] = throughput.report(measured, goal_model="base").verdicts

    assert (verdict.held, verdict.hard) == (held, False)
