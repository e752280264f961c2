"""What the consumer logs of its batches."""

import json
import re
from collections import Counter
from collections.abc import Callable

from tests.integration.conftest import Kafka, Message
from tests.integration.consumer.conftest import Consumer
from tests.integration.consumer.test_delivery import numbered

Start = Callable[..., Consumer]


def test_log_has_every_batch(kafka: Kafka, prefix: str, start: Start) -> None:
    """The batches that the debug lines tell of hold every offset once, and their counts add up."""
    kafka.create_topics(f"{prefix}comments", partitions=2)
    kafka.produce(f"{prefix}comments", [*numbered(500), Message(b"bad", partition=0)])

    consumer = start("--exit-at-end", "--log-level", "debug", "--max-batch-messages", "50")
    assert consumer.wait() == 0

    lines = [json.loads(line) for line in consumer.raw_log()]
    batches = [line["batch"] for line in lines if "batch" in line]
    offsets = Counter(
        (read["partition"], offset)
        for batch in batches
        for read in batch["partitions"]
        for offset in range(read["first_offset"], read["last_offset"] + 1)
    )
    assert len(offsets) == offsets.total() == 501
    assert sum(batch["messages"] for batch in batches) == 501
    urgencies = sum((Counter(batch["urgencies"]) for batch in batches), Counter())
    reasons = sum((Counter(batch["dead_letters"]) for batch in batches), Counter())
    assert (urgencies.total(), reasons) == (500, {"not-json": 1})
    assert all(set(batch["seconds"]) == {"poll", "classify", "publish", "commit"} for batch in batches)
    assert all(min(batch["seconds"].values()) >= 0 for batch in batches)
    assert sum(batch["tokens"] for batch in batches) > 500
    minutes = [line["progress"] for line in lines if "progress" in line]
    assert sum(minute["messages"] for minute in minutes) == 501
    assert sum(minute["batches"] for minute in minutes) == len(batches)
    [version] = {batch["model_version"] for batch in batches if batch["urgencies"]}
    assert re.fullmatch("[0-9a-f]{12}", version)
