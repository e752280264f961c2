"""Golden comments and agreement with fp32, on the CPU."""

import dataclasses
from pathlib import Path

import pytest

from consumer import bundle
from consumer.bundle import Agreement
from tests.conftest import comments
from tests.gpu import agreement


def test_golden_comments_match(tiny_bundle: Path) -> None:
    """The tiny bundle's golden comments come out as it says."""
    result = agreement.golden(bundle.read(tiny_bundle), "cpu")

    assert result.verdicts[0].held
    assert result.rows[0]["precision"] == "fp32"


def test_golden_mismatch_is_a_claim_that_fails(tiny_bundle: Path) -> None:
    """Another answer than the bundle's is told as such, and the part goes on."""
    read = bundle.read(tiny_bundle)
    wrong = read.golden[0].model_copy(update={"probabilities": (0.2,) * 5})
    result = agreement.golden(dataclasses.replace(read, golden=(wrong, *read.golden[1:])), "cpu")

    assert not result.verdicts[0].held
    assert "1 of 48 golden comments" in result.verdicts[0].measured


def test_variant_is_compared_with_fp32(tiny_bundle: Path) -> None:
    """The fp32 variant agrees with itself on every text."""
    result = agreement.with_fp32(bundle.read(tiny_bundle), "cpu", comments(30))

    assert result.rows == [
        {"texts": 30, "labels as fp32": "100.00%", "largest difference of a probability": 0.0}
    ]


@pytest.mark.parametrize(("share", "held"), [(0.9945, False), (0.995, True), (1.0, True)])
def test_agreement_has_a_least(share: float, held: bool) -> None:
    """Less than 99.5 % of equal labels does not pass."""
    measured = Agreement(texts=2000, label_agreement=share, largest_probability_difference=0.01)

    assert agreement.enough(measured).held is held


def test_failed_export_says_why(tmp_path: Path) -> None:
    """What export says is the reason."""
    with pytest.raises(RuntimeError, match=r"code 1: export: .* is no checkpoint"):
        agreement.exported(tmp_path / "none", tmp_path / "bundle", "cpu", tmp_path / "log")
