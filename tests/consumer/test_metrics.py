"""What is counted, and what /metrics shows of it."""

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from consumer.messages import Outgoing
from consumer.metrics import Metrics

URGENCIES = ("high", "medium", "low")
STAGES = {"poll": 0.1, "classify": 0.2, "publish": 0.3, "commit": 0.4}


def by_urgency(metrics: Metrics, name: str) -> dict[str, float]:
    """A metric's values as a scrape sees them."""
    page = generate_latest(metrics.registry).decode()
    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    return {sample.labels["urgency"]: sample.value for sample in samples if sample.name == name}


def test_expected_mix_is_counted_with_what_is_published() -> None:
    """Probabilities add up over the labelled messages of a transaction; dead letters have no part in it."""
    metrics = Metrics()
    metrics.routes(URGENCIES, {})
    sent = Outgoing("comments.low", None, b"", [], None, urgency="low", label="5", expected=[0.25, 0.0, 0.75])
    dead = Outgoing("comments.dead-letter", None, b"", [], None, reason="not-json")

    metrics.committed([0, 0, 0], [sent, dead, sent], now=0, stages=STAGES)

    name = "urgency_router_expected_comments_total"
    assert by_urgency(metrics, name) == {"high": 0.5, "medium": 0.0, "low": 1.5}


def test_every_urgency_is_there_before_it_comes() -> None:
    """A rate over a counter that appears only with its first comment would miss that one."""
    metrics = Metrics()
    metrics.routes(URGENCIES, {})

    assert by_urgency(metrics, "urgency_router_expected_comments_total") == dict.fromkeys(URGENCIES, 0.0)


@pytest.mark.parametrize("mix", [{}, {"high": 0.2, "medium": 0.1, "low": 0.7}])
def test_training_mix_is_that_of_the_model_in_service(mix: dict[str, float]) -> None:
    """The mix of the model before it does not stay, also where the new bundle says nothing."""
    metrics = Metrics()
    metrics.routes(URGENCIES, {"high": 0.5, "medium": 0.3, "low": 0.2})

    metrics.routes(URGENCIES, mix)

    assert by_urgency(metrics, "urgency_router_training_share") == mix
