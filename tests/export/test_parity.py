"""How far a variant may be from PyTorch, and how PyTorch is asked."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from consumer.bundle import Agreement
from export import parity
from export.checkpoint import Checkpoint
from export.errors import ParityError

TEXTS = ["late", "the food was cold", "great hotel , kind waiter , fine seat !", "again and " * 40]


class Answers:
    """Stands in for a classifier that gives what it was told, to bring in faults."""

    device = "cpu"
    precision = "fp32"

    def __init__(self, probabilities: NDArray[np.float32]) -> None:
        self._left = probabilities

    def classify(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Give the next rows."""
        given, self._left = self._left[: len(texts)], self._left[len(texts) :]
        return given


def ignore(_count: int) -> None:
    """Progress that nobody watches."""


def test_reference_of_a_text_does_not_depend_on_its_batch(checkpoint: Checkpoint) -> None:
    """PyTorch gives a text the same in a padded batch and alone, in the order of the texts."""
    together = parity.reference(checkpoint, TEXTS, advance=ignore)
    alone = [parity.reference(checkpoint, [text], advance=ignore)[0] for text in TEXTS]
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_reference_reads_the_window(checkpoint: Checkpoint) -> None:
    """The last token before what is left out changes the answer, and the first that is left out does not."""
    before = "again and " * 22 + "again"  # 45 tokens, and with [CLS] one short of the window's beginning
    after = "and again " * 8  # 16 tokens, with [SEP] its end
    texts = [f"{before} {word} {after}" for word in ("kind", "rude", "kind never", "kind broken")]
    kind, rude, never, broken = parity.reference(checkpoint, texts, advance=ignore)
    assert np.abs(kind - rude).max() > 1e-4
    np.testing.assert_array_equal(kind, never)
    np.testing.assert_array_equal(never, broken)


def test_progress_counts_every_text(checkpoint: Checkpoint) -> None:
    """The counts reported add up to the number of texts."""
    counts: list[int] = []
    parity.reference(checkpoint, TEXTS, token_budget=1, advance=counts.append)
    assert counts == [1, 1, 1, 1]


def test_agreement_is_measured_over_all_texts() -> None:
    """The largest difference and the share of equal labels are over every chunk."""
    expected = np.tile(np.array([0.6, 0.4], dtype=np.float32), (250, 1))
    got = expected.copy()
    got[249] = [0.25, 0.75]
    agreement = parity.measure(Answers(got), ["text"] * 250, expected, advance=ignore)  # type: ignore[arg-type]
    assert agreement.texts == 250
    assert agreement.label_agreement == 249 / 250
    assert agreement.largest_probability_difference == pytest.approx(0.35)


def test_no_number_is_refused() -> None:
    """One NaN among the probabilities is enough to refuse a variant."""
    expected = np.tile(np.array([0.6, 0.4], dtype=np.float32), (250, 1))
    got = expected.copy()
    got[7] = np.nan
    with pytest.raises(ParityError, match="1 of 250 texts probabilities that are no numbers on cpu"):
        parity.measure(Answers(got), ["text"] * 250, expected, advance=ignore)  # type: ignore[arg-type]


@pytest.mark.parametrize(("difference", "share"), [(0.021, 1.0), (0.0, 0.989)])
def test_variant_outside_its_limits_is_refused(difference: float, share: float) -> None:
    """A probability or too many labels beyond the limits refuse the variant, with the numbers."""
    agreement = Agreement(texts=500, label_agreement=share, largest_probability_difference=difference)
    with pytest.raises(ParityError, match=rf"up to {difference:.2g} \(allowed 0.02\) and {share:.2%} of 500"):
        parity.require("cuda", agreement)


class Swayed(Answers):
    """Stands in for a classifier whose answer moves once a text has company."""

    def __init__(self, by: float, among: int) -> None:
        self._by, self._among = by, among

    def classify(self, texts: Sequence[str], *, spread: bool = True) -> NDArray[np.float32]:
        """Give the same to each, but for the first among so many that stay together."""
        given = np.tile(np.array([0.5, 0.5], dtype=np.float32), (len(texts), 1))
        if len(texts) == self._among and not spread:
            given[0] += [self._by, -self._by]
        return given


@pytest.mark.parametrize("among", [2, 50])
def test_dependence_on_the_batch_is_found(among: int) -> None:
    """What moves beside one long text, and what moves only among many, is measured."""
    texts = [f"text {number}" for number in range(500)]
    moved = parity.dependence(Swayed(0.01, among), texts)  # type: ignore[arg-type]
    assert moved == pytest.approx(0.01, rel=1e-5)


@pytest.mark.parametrize("moved", [2e-5, float("nan")])
def test_variant_that_depends_on_the_batch_is_refused(moved: float) -> None:
    """A probability that moves with its neighbours by more than the limit, or to no number, is refused."""
    with pytest.raises(ParityError, match=r"move by up to .* with the other texts in its batch"):
        parity.require_independence("cpu-int8", moved)
    parity.require_independence("cpu-int8", 1e-5)


def test_variant_at_its_limits_is_accepted() -> None:
    """The limits themselves are inside."""
    parity.require("cuda", Agreement(texts=500, label_agreement=0.99, largest_probability_difference=0.02))
