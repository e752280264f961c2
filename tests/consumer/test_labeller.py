"""Records to what is published for them, when the model fails."""

import json
from pathlib import Path

import numpy as np
import pytest
from kafka.consumer.fetcher import ConsumerRecord
from numpy.typing import NDArray
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from consumer import bundle, session, settings
from consumer.bundle import Bundle, DeviceChoice
from consumer.classifier import Classifier
from consumer.errors import SessionFailed
from consumer.labeller import Labeller
from consumer.messages import REASONS, Model, Outgoing, now
from consumer.metrics import Metrics
from consumer.routing import Routing
from tests.conftest import LABELS, comments
from tests.faults import FaultySession

SAME = 1e-5


@pytest.fixture(scope="module")
def whole(tiny_bundle: Path) -> Bundle:
    """The tiny bundle."""
    return bundle.read(tiny_bundle)


@pytest.fixture
def classifier(whole: Bundle) -> Classifier:
    """The tiny bundle on the CPU, with a session to break."""
    return Classifier(whole, device="cpu", threads=1)


@pytest.fixture
def labeller(whole: Bundle, classifier: Classifier) -> Labeller:
    """A labeller with the default settings."""
    return labeller_of(whole, classifier)


def labeller_of(whole: Bundle, classifier: Classifier) -> Labeller:
    """A labeller with the default settings."""
    parsed = settings.parse(["--bundle", "b", "--bootstrap-servers", "localhost:9092"])
    manifest = whole.manifest
    routing = Routing.build(manifest.labels, parsed.routes, parsed.weights)
    return Labeller(parsed, classifier, routing, Model(manifest.name, manifest.version, manifest.labels))


def shown(metrics: Metrics, name: str) -> dict[str, float]:
    """What a scrape sees of a metric, by urgency."""
    page = generate_latest(metrics.registry).decode()
    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    return {sample.labels.get("urgency", ""): sample.value for sample in samples if sample.name == name}


def records(texts: list[str]) -> list[ConsumerRecord]:
    """Records as kafka-python reads them."""
    fields = dict.fromkeys(ConsumerRecord._fields)
    fields |= {"topic": "comments", "partition": 0, "timestamp": now(), "headers": []}
    return [
        ConsumerRecord(**{**fields, "offset": offset, "value": json.dumps({"text": text}).encode()})
        for offset, text in enumerate(texts)
    ]


def probabilities(outgoing: list[Outgoing]) -> NDArray[np.float64]:
    """[messages, labels], as the labelled messages state them."""
    labelled = [json.loads(one.value)["classification"] for one in outgoing]
    return np.array([list(classification["probabilities"].values()) for classification in labelled])


def test_every_text_is_labelled_though_memory_runs_out(labeller: Labeller, classifier: Classifier) -> None:
    """When large micro-batches do not fit, each message gets the answer that it gets without the fault."""
    read = records(comments(100, seed=11))
    expected = labeller.label(read)
    session = FaultySession(classifier, fails=lambda input_ids: input_ids.size > 100)

    got = labeller.label(read)

    assert session.failures > 0
    assert [one.urgency for one in got] == [one.urgency for one in expected]
    np.testing.assert_allclose(probabilities(got), probabilities(expected), atol=SAME)


def test_each_message_carries_the_mix_expected_of_it(labeller: Labeller, classifier: Classifier) -> None:
    """The probability of each urgency is that of its labels together; a dead letter has none that count."""
    texts = comments(20, seed=8)
    of_labels = classifier.classify(texts)

    got = labeller.label([*records(texts), *records(["\n"])])

    of_urgencies = np.stack([of_labels[:, :2].sum(1), of_labels[:, 2], of_labels[:, 3:].sum(1)], axis=1)
    np.testing.assert_allclose([one.expected for one in got[:-1]], of_urgencies, atol=SAME)
    assert got[-1].expected == ()


def test_announced_model_shows_what_it_was_trained_on(labeller: Labeller) -> None:
    """The bundle's label counts come out as the share of each urgency, by the routes."""
    metrics = Metrics()
    labeller.announce(metrics)
    assert shown(metrics, "urgency_router_training_share") == {"high": 0.2, "medium": 0.1, "low": 0.7}


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="this machine has a GPU")
@pytest.mark.parametrize(("choice", "unused"), [("auto", 1.0), ("cpu", 0.0)])
def test_announced_model_shows_a_gpu_that_it_cannot_use(
    choice: DeviceChoice, unused: float, whole: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is 1 where the machine shows a GPU and the CPU took its place, and 0 where the CPU was asked for."""
    (tmp_path / "nvidia0").touch()
    monkeypatch.setattr(session, "DEVICES", tmp_path)
    metrics = Metrics()
    labeller_of(whole, Classifier(whole, device=choice, threads=1)).announce(metrics)
    assert shown(metrics, "urgency_router_gpu_unused") == {"": unused}


def test_probabilities_are_rounded_after_the_label_is_chosen(
    labeller: Labeller, classifier: Classifier
) -> None:
    """Each has six decimals, and the label is the most probable before that."""
    texts = comments(50, seed=3)
    expected = classifier.classify(texts)

    got = labeller.label(records(texts))

    np.testing.assert_array_equal(probabilities(got), expected.astype(np.float64).round(6))
    assert [one.label for one in got] == [LABELS[column] for column in expected.argmax(axis=1)]


def test_work_of_a_batch_is_told(labeller: Labeller, classifier: Classifier) -> None:
    """It is the tokens of the texts, padding aside, and the micro-batches; nothing where there is no text."""
    texts = comments(50, seed=3)
    session = FaultySession(classifier)

    labeller.label(records(texts))

    tokens = sum(map(len, classifier._tokenizer.tokens(texts)))
    assert labeller.work == (session.runs, tokens)
    labeller.label([record._replace(value=b"[]") for record in records(texts)])
    assert labeller.work == (0, 0)


@pytest.mark.parametrize("fault", ["fails", "no_numbers"])
def test_text_that_the_model_fails_at_is_a_dead_letter(
    labeller: Labeller, classifier: Classifier, fault: str
) -> None:
    """It keeps its place and its bytes, and the others get the answers that they get without the fault."""
    texts = [text for text in comments(50, seed=12) if "kettle" not in text]
    read = records([*texts[:30], "the kettle is late", *texts[30:]])
    expected = labeller.label(read)
    kettle = classifier._tokenizer._tokenizer.token_to_id("kettle")
    FaultySession(classifier, **{fault: lambda input_ids: bool((input_ids == kettle).any())})

    got = labeller.label(read)

    letter = got.pop(30)
    assert (letter.reason, letter.value) == ("unclassifiable", read[30].value)
    assert dict(letter.headers)["error.message"].decode() == REASONS["unclassifiable"]
    expected.pop(30)
    assert [one.urgency for one in got] == [one.urgency for one in expected]
    np.testing.assert_allclose(probabilities(got), probabilities(expected), atol=SAME)


@pytest.mark.parametrize("fault", ["fails", "no_numbers"])
def test_model_that_fails_at_everything_labels_and_dead_letters_nothing(
    labeller: Labeller, classifier: Classifier, fault: str
) -> None:
    """When a golden comment fails too, the whole batch is refused, and no message becomes a dead letter."""
    FaultySession(classifier, **{fault: lambda _: True})

    with pytest.raises(SessionFailed, match="golden comment"):
        labeller.label(records(comments(20, seed=13)))
