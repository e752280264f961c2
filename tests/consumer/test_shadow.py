"""A second model that classifies the same comments, without Kafka."""

import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from consumer.bundle import read
from consumer.classifier import Classifier
from consumer.errors import SessionFailed
from consumer.messages import Model
from consumer.metrics import Metrics
from consumer.routing import Routing
from consumer.shadow import Shadow, drawn_at
from tests.conftest import LABELS, comments

ROUTES = "high: 1,2; medium: 3; low: 4,5"


@pytest.fixture
def metrics() -> Metrics:
    """What /metrics shows."""
    return Metrics()


@pytest.fixture(scope="module")
def classifier(other_bundle: Path) -> Classifier:
    """Another model than the one in use."""
    return Classifier(read(other_bundle), device="cpu", token_budget=256, threads=1)


def shadow(classifier: Classifier, metrics: Metrics, share: float = 1.0) -> Shadow:
    """A shadow of that model."""
    return Shadow(classifier, Routing.build(LABELS, ROUTES, ""), Model("other", "1", LABELS), share, metrics)


def counted(metrics: Metrics, name: str, **labels: str) -> float:
    """The value of a counter."""
    return metrics.registry.get_sample_value(f"urgency_router_shadow_{name}_total", labels) or 0.0


def compared(metrics: Metrics) -> float:
    """How many comments were compared."""
    [family] = metrics.shadow_comments.collect()
    return sum(sample.value for sample in family.samples if sample.name.endswith("_total"))


def test_confusion_and_agreement(classifier: Classifier, metrics: Metrics) -> None:
    """Each pair of labels is counted, and how often both give the same urgency."""
    texts = comments(100, seed=6)
    probabilities = classifier.classify(texts)
    own = [LABELS[column] for column in probabilities.argmax(axis=1)]
    own_urgencies = Routing.build(LABELS, ROUTES, "").urgency(probabilities)
    in_use = [LABELS[place % 5] for place in range(100)]
    urgencies = [("high", "medium", "low")[place % 3] for place in range(100)]
    with shadow(classifier, metrics) as comparing:
        comparing.compare(texts, in_use, urgencies)

    for (label, other), count in Counter(zip(in_use, own, strict=True)).items():
        assert counted(metrics, "comments", label=label, shadow_label=other) == count
    agreeing = sum(one == two for one, two in zip(urgencies, own_urgencies, strict=True))
    assert counted(metrics, "agreements") == agreeing
    assert counted(metrics, "skipped") == 0


def test_a_share_of_the_texts() -> None:
    """A share draws about as many of all texts, and the same ones each time."""
    texts = comments(4000)
    drawn = [drawn_at(text, 0.25) for text in texts]
    assert np.mean(drawn) == pytest.approx(0.25, abs=0.03)
    assert drawn == [drawn_at(text, 0.25) for text in texts]
    assert not any(drawn_at(text, 0.0) for text in texts)
    assert all(drawn_at(text, 1.0) for text in [*texts, "half a pair \ud83d"])


def test_only_a_share_is_compared(classifier: Classifier, metrics: Metrics) -> None:
    """Of the comments just those of the share are classified."""
    texts = comments(200, seed=6)
    with shadow(classifier, metrics, share=0.3) as comparing:
        comparing.compare(texts, ["1"] * 200, ["high"] * 200)
    assert compared(metrics) == sum(drawn_at(text, 0.3) for text in texts)


def test_a_busy_shadow_is_left_out(classifier: Classifier, metrics: Metrics) -> None:
    """Comments that come while it computes do not wait: they are counted as skipped."""
    release = threading.Event()
    slow = shadow(_Slow(classifier, release), metrics)  # type: ignore[arg-type]
    with slow:
        slow.compare(["late"], ["1"], ["high"])
        slow.compare(["rude", "slow"], ["1", "1"], ["high", "high"])
        assert counted(metrics, "skipped") == 2
        release.set()
    assert compared(metrics) == 1


def test_a_failing_shadow_is_left_out(metrics: Metrics, caplog: pytest.LogCaptureFixture) -> None:
    """A shadow that fails is logged and counted, and whoever calls it hears nothing."""
    with shadow(_Broken(), metrics) as comparing:  # type: ignore[arg-type]
        comparing.compare(["late"], ["1"], ["high"])
    assert counted(metrics, "skipped") == 1
    assert "the shadow model fails" in caplog.text
    assert "late" not in caplog.text


class _Slow:
    """A model that answers when it is told to."""

    def __init__(self, classifier: Classifier, release: threading.Event) -> None:
        self._classifier = classifier
        self._release = release

    def classify(self, texts: list[str]) -> np.ndarray:
        assert self._release.wait(30)
        return self._classifier.classify(texts)


class _Broken:
    """A model that fails at everything."""

    def classify(self, texts: list[str]) -> np.ndarray:
        raise SessionFailed("no")
