"""A shadow model beside the one in use, on a real topic."""

import json
from collections.abc import Callable
from pathlib import Path

from consumer import bundle
from tests.conftest import comments
from tests.integration.conftest import Kafka, Message
from tests.integration.consumer.conftest import Consumer

Start = Callable[..., Consumer]


def test_only_metrics_tell_of_it(
    kafka: Kafka, prefix: str, start: Start, tiny_bundle: Path, other_bundle: Path
) -> None:
    """The shadow's comparisons are in the metrics; the model in use alone labels every message."""
    texts = comments(200, seed=7)
    kafka.create_topics(f"{prefix}comments")
    consumer = start("--shadow-bundle", str(other_bundle), "--shadow-share", "1")
    consumer.wait_ready()
    kafka.produce(f"{prefix}comments", [Message(json.dumps({"text": text}).encode()) for text in texts])
    records = kafka.read(*consumer.outputs, count=len(texts))

    def seen() -> float:
        names = ("comments", "skipped")
        return sum(consumer.metric(f"urgency_router_shadow_{name}_total") for name in names)

    # What was thrown away in flight and read again is compared again.
    consumer.wait_until(lambda: seen() >= len(texts), "compared")
    agreements = consumer.metric("urgency_router_shadow_agreements_total")
    assert 0 < agreements < consumer.metric("urgency_router_shadow_comments_total")
    versions = {dict(record.headers)["model-version"].decode() for record in records}
    assert versions == {bundle.read(tiny_bundle).manifest.version}
    assert len(records) == len(texts)
    assert consumer.stop() == 0


def test_a_shadow_that_cannot_start(kafka: Kafka, start: Start, tmp_path: Path) -> None:
    """A shadow bundle that is not there ends the start with the code of a bad bundle, and is named."""
    consumer = start("--shadow-bundle", str(tmp_path / "nowhere"))
    assert consumer.wait() == 3
    assert str(tmp_path / "nowhere") in consumer.log_lines()[-1]
