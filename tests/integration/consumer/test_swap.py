"""The model is changed while comments come in."""

import json
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kafka import KafkaProducer

from consumer import bundle
from consumer.classifier import Classifier
from tests.conftest import comments
from tests.integration.conftest import Kafka
from tests.integration.consumer.conftest import Consumer

Start = Callable[..., Consumer]

SWAPS = 50
PARTITIONS = 3
PACE = 0.005  # seconds between two comments: a steady load that one thread can keep up with


def link(path: Path, target: Path) -> None:
    """Set a symlink in one step."""
    partial = path.with_name("next")
    partial.symlink_to(target)
    partial.rename(path)


@contextmanager
def load(kafka: Kafka, topic: str, texts: list[str]) -> Iterator[list[str]]:
    """Numbered comments, one after the other, as long as the context lasts; gives the list of those sent."""
    sent: list[str] = []
    over = threading.Event()

    def send() -> None:
        producer = KafkaProducer(bootstrap_servers=kafka.bootstrap_servers, linger_ms=1)
        while not over.wait(PACE):
            number = len(sent)
            sent.append(texts[number % len(texts)])
            value = json.dumps({"number": number, "text": sent[-1]}).encode()
            producer.send(topic, value, partition=number % PARTITIONS)
        producer.flush()
        producer.close()

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield sent
    finally:
        over.set()
        thread.join()


def labels(directory: Path, texts: list[str]) -> dict[str, str]:
    """What a bundle's model says of each text."""
    opened = bundle.read(directory)
    columns = Classifier(opened, device="cpu", threads=1).classify(texts).argmax(axis=1)
    return {text: opened.manifest.labels[column] for text, column in zip(texts, columns, strict=True)}


def test_fifty_swaps_under_load(
    kafka: Kafka, prefix: str, start: Start, tiny_bundle: Path, other_bundle: Path, tmp_path: Path
) -> None:
    """Over fifty swaps and some bad bundles every comment is labelled once, by the version that it says."""
    path, bad = tmp_path / "bundle", tmp_path / "bad"
    link(path, tiny_bundle)
    shutil.copytree(other_bundle, bad)
    with (bad / "model.cpu.onnx").open("r+b") as file:
        file.write(b"\0")
    versions = [bundle.read(directory).manifest.version for directory in (tiny_bundle, other_bundle)]
    texts = comments(200, seed=4)
    kafka.create_topics(f"{prefix}comments", partitions=PARTITIONS)
    consumer = start("--bundle-check-seconds", "0.02", "--micro-batch-tokens", "512", bundle=path)
    consumer.wait_ready()

    def swapped(outcome: str, count: int) -> None:
        name = "urgency_router_bundle_swaps_total"
        consumer.wait_until(
            lambda: consumer.metric(name, outcome=outcome) == count, f"{outcome} number {count}"
        )

    refused = 0
    with load(kafka, f"{prefix}comments", texts) as sent:
        for number in range(SWAPS):
            if number % 10 == 9:
                link(path, bad)
                refused += 1
                swapped("refused", refused)
            link(path, other_bundle if number % 2 == 0 else tiny_bundle)
            swapped("taken", number + 1)
    records = kafka.read(*consumer.outputs, count=len(sent))
    assert consumer.stop() == 0

    assert Counter(json.loads(record.value)["number"] for record in records) == Counter(range(len(sent)))
    expected = {
        version: labels(directory, texts)
        for version, directory in zip(versions, (tiny_bundle, other_bundle), strict=True)
    }
    told = Counter()
    for record in records:
        value = json.loads(record.value)
        said = value["classification"]
        version = dict(record.headers)["model-version"].decode()
        told[version] += 1
        assert said["model"]["version"] == version
        assert said["label"] == expected[version][value["text"]]
    assert set(told) == set(versions)


def test_order_is_kept_over_a_swap(
    kafka: Kafka, prefix: str, start: Start, tiny_bundle: Path, other_bundle: Path, tmp_path: Path
) -> None:
    """In each partition versions take over once and for all: none labels again after its follower."""
    path = tmp_path / "bundle"
    link(path, tiny_bundle)
    kafka.create_topics(f"{prefix}comments", partitions=PARTITIONS)
    consumer = start("--bundle-check-seconds", "0.02", bundle=path)
    consumer.wait_ready()
    with load(kafka, f"{prefix}comments", comments(50, seed=4)) as sent:
        consumer.wait_until(
            lambda: consumer.metric("urgency_router_messages_labelled_total") > 20, "labelling before"
        )
        link(path, other_bundle)
        consumer.wait_until(
            lambda: consumer.metric("urgency_router_bundle_swaps_total", outcome="taken") == 1, "swapped"
        )
        until = len(sent) + 20
        consumer.wait_until(
            lambda: consumer.metric("urgency_router_messages_labelled_total") > until, "labelling after"
        )
    records = kafka.read(*consumer.outputs, count=len(sent))
    numbered = sorted(
        (json.loads(record.value)["number"], dict(record.headers)["model-version"].decode())
        for record in records
    )
    old, new = (bundle.read(directory).manifest.version for directory in (tiny_bundle, other_bundle))
    for partition in range(PARTITIONS):
        said = [version for number, version in numbered if number % PARTITIONS == partition]
        assert said == [old] * said.count(old) + [new] * said.count(new)
        assert old in said
        assert new in said
