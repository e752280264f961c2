"""Texts to probabilities."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from consumer import bundle
from consumer.bundle import Bundle, GoldenComment
from consumer.classifier import Classifier
from consumer.errors import BundleError, DeviceError, GoldenMismatch
from tests.conftest import LABELS, comments

# Sums in another order move the last digits of fp32.
SAME = 1e-5


@pytest.fixture(scope="module")
def whole(tiny_bundle: Path) -> Bundle:
    """The tiny bundle."""
    return bundle.read(tiny_bundle)


@pytest.fixture(scope="module")
def classifier(whole: Bundle) -> Classifier:
    """The tiny bundle on the CPU."""
    return Classifier(whole, device="cpu", threads=1)


def test_batch_answers_as_singles_do(classifier: Classifier) -> None:
    """Each text of a batch gets, in its place, the probabilities and the label that it gets alone."""
    texts = comments(120, seed=3)

    together = classifier.classify(texts)
    alone = np.concatenate([classifier.classify([text]) for text in texts])

    np.testing.assert_allclose(together, alone, atol=SAME)
    assert together.argmax(axis=1).tolist() == alone.argmax(axis=1).tolist()


def test_answer_does_not_depend_on_the_neighbours(classifier: Classifier) -> None:
    """A text keeps its answer whichever and however long the other texts of its batch are."""
    text = "late parcel, money back please"
    alone = classifier.classify([text])[0]

    for seed in range(5):
        np.testing.assert_allclose(
            classifier.classify([*comments(40, seed=seed), text])[-1], alone, atol=SAME
        )


@pytest.mark.parametrize("token_budget", [1, 64, 100_000])
def test_answer_does_not_depend_on_the_micro_batches(
    whole: Bundle, classifier: Classifier, token_budget: int
) -> None:
    """Micro-batches of one text, of a few and of all give the same answers."""
    texts = comments(60, seed=4)
    other = Classifier(whole, device="cpu", token_budget=token_budget, threads=1)

    np.testing.assert_allclose(other.classify(texts), classifier.classify(texts), atol=SAME)


def test_rows_are_distributions_over_the_labels(classifier: Classifier) -> None:
    """There is a row for each text and a column for each label, and a row sums to 1."""
    probabilities = classifier.classify(["late", "?!", "\u0007", "x" * 5000, "great " * 500])

    assert probabilities.shape == (5, len(LABELS))
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=SAME)


def test_golden_comments_prove_the_device(classifier: Classifier) -> None:
    """A device that computes as the bundle states passes, and its rate is known from then on."""
    classifier.prove()

    assert classifier.rate > 0


@pytest.mark.parametrize("wrong", [0.5, float("nan")])
def test_one_wrong_golden_probability_is_refused(whole: Bundle, wrong: float) -> None:
    """One golden probability that differs, or is no number, refuses the device and names the comment."""
    golden = list(whole.golden)
    first, *others = golden[7].probabilities
    golden[7] = GoldenComment(text=golden[7].text, probabilities=(abs(first - wrong), *others))

    with pytest.raises(GoldenMismatch, match=r"1 of 48 golden comments.*: number 7"):
        Classifier(replace(whole, golden=tuple(golden)), device="cpu", threads=1).prove()


def test_device_without_a_variant_is_refused(whole: Bundle) -> None:
    """A bundle without a variant for the device asked for says which it has."""
    variants = {"cuda": whole.manifest.variants["cuda"]}
    only_cuda = replace(whole, manifest=whole.manifest.model_copy(update={"variants": variants}))

    with pytest.raises(DeviceError, match="no variant for cpu, only for cuda"):
        Classifier(only_cuda, device="cpu")


def test_model_that_is_no_model_is_refused(whole: Bundle, tmp_path: Path) -> None:
    """A file that ONNX Runtime cannot load is a broken bundle, not a traceback."""
    (tmp_path / "tokenizer.json").write_bytes(whole.path("tokenizer.json").read_bytes())
    (tmp_path / "model.cpu.onnx").write_bytes(b"not a model")

    with pytest.raises(BundleError, match=r"cannot load \S+model\.cpu\.onnx"):
        Classifier(replace(whole, directory=tmp_path), device="cpu")
