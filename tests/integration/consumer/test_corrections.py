"""From a labelled message to a training row, as the README tells people to do it."""

import json
from collections.abc import Callable
from pathlib import Path

from finetune.__main__ import main
from finetune.data import read_rows
from tests.integration.conftest import Kafka, Message
from tests.integration.consumer.conftest import Consumer


def test_a_labelled_message_is_corrected(
    kafka: Kafka, prefix: str, start: Callable[..., Consumer], tmp_path: Path
) -> None:
    """What the consumer published, with the right label added and sent back, is a training row."""
    text = 'The "kettle" is great… said nobody, ever. 🙃\nIt leaks.'
    consumer = start()
    consumer.wait_ready()
    kafka.produce(f"{prefix}comments", [Message(json.dumps({"id": 1, "text": text}).encode(), key=b"a")])
    [message] = kafka.read(*consumer.outputs, count=1)
    correction = json.loads(message.value) | {"correct_label": "1"}
    kafka.create_topics(f"{prefix}feedback")
    kafka.produce(f"{prefix}feedback", [Message(json.dumps(correction).encode(), key=message.key)])
    output = tmp_path / "corrections.jsonl"
    arguments = ["--bootstrap-servers", kafka.bootstrap_servers, "--topic", f"{prefix}feedback"]
    assert main(["collect", *arguments, "--output", str(output)]) == 0
    assert [(row.label, row.text) for row in read_rows(output)] == [("1", text)]
