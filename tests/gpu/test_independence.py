"""The check that answers do not depend on the batch."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from consumer import bundle
from consumer.classifier import Classifier
from tests.conftest import comments
from tests.gpu import independence
from tests.gpu.independence import Classify

LONG, SHORT = "never again " * 30, "ok"
TEXTS = [f"{'very ' * number}late" for number in range(1, 9)]


def own(texts: Sequence[str]) -> NDArray[np.float32]:
    """Probabilities that the text alone decides, near a tie."""
    lean = np.array([len(text) % 7 for text in texts], dtype=np.float32) / 1000
    return np.stack([0.5 - lean, 0.5 + lean], axis=1)


def scaled_over_the_batch(texts: Sequence[str]) -> NDArray[np.float32]:
    """As dynamic quantisation does it: a long neighbour makes everything coarser."""
    step = max(map(len, texts)) / 1e4
    return np.asarray(np.round(own(texts) / step) * step, dtype=np.float32)


def by_place(texts: Sequence[str]) -> NDArray[np.float32]:
    """As an index that is off by one does it: right alone, wrong in company."""
    return np.roll(own(texts), 1, axis=0)


def not_numbers_in_company(texts: Sequence[str]) -> NDArray[np.float32]:
    """As an overflow in a kernel does it: argmax finds the first label in NaN, which is the right one."""
    answer = own(texts)[:, ::-1]
    return answer if len(texts) == 1 else np.full_like(answer, np.nan)


def test_classifier_is_independent(small_classifier: Classifier) -> None:
    """The consumer's classifier gives each of 40 texts the same label alone and in all company."""
    result = independence.check(small_classifier.classify, comments(40), long=LONG, short=SHORT)

    assert [row["labels changed"] for row in result.rows] == [0, 0, 0, 0]
    assert max(float(row["largest difference of a probability"]) for row in result.rows) < 1e-5
    assert result.verdicts[0].held


@pytest.mark.parametrize("classify", [scaled_over_the_batch, by_place, not_numbers_in_company])
def test_dependence_is_caught(classify: Classify) -> None:
    """Answers that change with the batch do not pass."""
    assert not independence.check(classify, TEXTS, long=LONG, short=SHORT).verdicts[0].held


def test_ties_are_told_from_dependence() -> None:
    """Beside the labels that changed stands how far they led alone."""
    result = independence.check(scaled_over_the_batch, TEXTS, long=LONG, short=SHORT)

    leads = [float(row["their largest lead alone"]) for row in result.rows if row["labels changed"]]
    assert leads
    assert max(leads) == pytest.approx(0.012, abs=0.003)


@pytest.fixture(scope="module")
def small_classifier(tiny_bundle: Path) -> Classifier:
    """The tiny bundle's model on the CPU."""
    return Classifier(bundle.read(tiny_bundle), device="cpu")
