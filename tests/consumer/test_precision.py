"""int8 on a CPU: chosen by a setting, and recommended where it is faster."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from consumer import bundle, precision, service, settings
from consumer.bundle import Bundle
from consumer.classifier import Classifier
from consumer.errors import DeviceError, SettingsError
from consumer.labeller import Labeller
from consumer.metrics import Metrics
from tests.conftest import comments

BROKER = ["--bootstrap-servers", "localhost:9092"]


@pytest.fixture(scope="module")
def whole(tiny_bundle: Path) -> Bundle:
    """The tiny bundle."""
    return bundle.read(tiny_bundle)


@pytest.fixture(scope="module")
def without_int8(whole: Bundle) -> Bundle:
    """The tiny bundle as it was before there was int8."""
    variants = {name: whole.manifest.variants[name] for name in ("cpu", "cuda")}
    return replace(whole, manifest=whole.manifest.model_copy(update={"variants": variants}))


@pytest.fixture(scope="module")
def classifier(whole: Bundle) -> Classifier:
    """The tiny bundle on the CPU in fp32."""
    return Classifier(whole, device="cpu", threads=1)


def test_default_is_fp32(classifier: Classifier) -> None:
    """A CPU runs fp32 unless asked otherwise, though the bundle has int8."""
    assert classifier.precision == "fp32"


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_int8_runs_the_variant(whole: Bundle, classifier: Classifier, device: bundle.DeviceChoice) -> None:
    """--precision int8 runs another model on the CPU, which proves itself and answers nearly the same."""
    int8 = Classifier(whole, device=device, precision="int8", threads=1)
    int8.prove()
    texts = comments(50, seed=8)

    difference = np.abs(int8.classify(texts) - classifier.classify(texts)).max()

    assert (int8.device, int8.precision) == ("cpu", "int8")
    assert 1e-4 < difference < 0.1


def test_int8_without_the_variant_says_what_to_do(without_int8: Bundle) -> None:
    """A bundle without int8 is refused with what it has and how to export what it lacks."""
    with pytest.raises(SettingsError, match=r"no variant for cpu-int8, only for cpu, cuda; .*cpu cpu-int8"):
        Classifier(without_int8, device="cpu", precision="int8")


def test_int8_on_a_gpu_says_what_to_do(whole: Bundle) -> None:
    """int8 on CUDA is refused, whether there is a GPU or not."""
    with pytest.raises(SettingsError, match=r"--precision int8 is for a CPU: .* --device cpu"):
        Classifier(whole, device="cuda", precision="int8")


def test_start_says_that_it_is_int8(
    tiny_bundle: Path, whole: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    """The line of the start and model_info say int8 where the setting asks for it."""
    parsed = settings.parse(["--bundle", str(tiny_bundle), *BROKER, "--precision", "int8"])
    metrics = Metrics()
    with caplog.at_level(logging.INFO):
        Labeller(parsed, *service._proved(whole, parsed)).announce(metrics)

    labels = {"name": "tiny", "version": whole.manifest.version, "device": "cpu", "precision": "int8"}
    assert "on cpu in int8: --precision int8 is for a CPU" in caplog.text
    assert metrics.registry.get_sample_value("urgency_router_model_info", labels) == 1


def advice(caplog: pytest.LogCaptureFixture, of: Bundle, classifier: Classifier) -> list[str]:
    """What the log says of int8."""
    caplog.clear()
    with caplog.at_level(logging.INFO):
        precision.advise(of, classifier, 1)
    return [record.getMessage() for record in caplog.records]


def test_faster_int8_is_said_once(
    whole: Bundle,
    classifier: Classifier,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Where int8 is 1.3 times as fast, one line gives the ratio, the flag, and what it costs."""
    monkeypatch.setattr(precision, "int8_speed", lambda *_: 1.3)
    (line,) = advice(caplog, whole, classifier)
    assert "1.3 times as fast as in fp32: --precision int8 uses it" in line
    assert "of 520 texts got PyTorch's label" in line


def test_slower_int8_is_not_said(
    whole: Bundle,
    classifier: Classifier,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Where int8 gains less, the log says nothing."""
    monkeypatch.setattr(precision, "int8_speed", lambda *_: 1.29)
    assert advice(caplog, whole, classifier) == []


def test_nothing_is_measured_where_there_is_no_choice(
    whole: Bundle,
    without_int8: Bundle,
    classifier: Classifier,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A bundle without int8, and a consumer that uses it already, measure nothing."""

    def unexpected(*_: object) -> float:
        raise AssertionError("measured")

    monkeypatch.setattr(precision, "int8_speed", unexpected)
    assert advice(caplog, without_int8, classifier) == []
    assert advice(caplog, whole, Classifier(whole, device="cpu", precision="int8", threads=1)) == []


def test_int8_that_fails_stops_no_start(
    whole: Bundle,
    classifier: Classifier,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A variant that is not in use and cannot be tried is a line in the log."""

    def fails(*_: object) -> float:
        raise DeviceError("no such kernel")

    monkeypatch.setattr(precision, "int8_speed", fails)
    assert advice(caplog, whole, classifier) == ["whether int8 is faster here is not known: no such kernel"]


def test_measuring_changes_no_answer(whole: Bundle, classifier: Classifier) -> None:
    """A real measurement gives a ratio, and leaves the model in use as it was."""
    texts = comments(20, seed=9)
    before = classifier.classify(texts)

    assert 0 < precision.int8_speed(whole, classifier, 1) < float("inf")

    np.testing.assert_array_equal(classifier.classify(texts), before)
    assert classifier.precision == "fp32"
