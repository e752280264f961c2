"""Bad input through a real broker and a real consumer: as much out as in, each message for its reason."""

import itertools
import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer
from kafka.consumer.fetcher import ConsumerRecord
from kafka.record import default_records

from consumer.messages import now
from tests import bad_input, faults
from tests.bad_input import CASES, HEADERS, KEYS, LATIN_1, Dead
from tests.conftest import comments
from tests.integration.conftest import Kafka, Message
from tests.integration.consumer.conftest import Consumer
from tests.integration.consumer.test_delivery import committed

Start = Callable[..., Consumer]
Header = tuple[str, bytes | None]
# Kafka's default limit of a message.
LARGEST = 1_000_000
# kafka-python sends no header without a value, so that this stands for none on its way into the batch.
NO_VALUE = b"no value"


@dataclass(frozen=True)
class Sent:
    """A record sent."""

    value: bytes | None
    key: bytes | None
    headers: Sequence[Header]
    timestamp: int


class Latin1(str):
    """A header's name that is sent in Latin-1."""

    def encode(self, *_: Any) -> bytes:
        """Give its bytes."""
        return super().encode("latin-1")


@pytest.fixture(autouse=True)
def any_header(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process send headers without a value, and with a name that is not UTF-8."""
    real = default_records.DefaultRecordBatchBuilder.append

    def append(self: Any, offset: int, timestamp: int, key: Any, value: Any, headers: Any) -> Any:
        some = [
            (Latin1("größe") if name == LATIN_1 else name, None if value == NO_VALUE else value)
            for name, value in headers
        ]
        return real(self, offset, timestamp, key, value, some)

    monkeypatch.setattr(default_records.DefaultRecordBatchBuilder, "append", append)


def corpus() -> dict[bytes, Sent]:
    """Each value of the corpus that Kafka takes, and each with other keys and headers, by its name."""
    keys, headers = itertools.cycle(KEYS.values()), itertools.cycle(HEADERS.values())
    sent = {}
    for name, case in CASES.items():
        if case.value is None or len(case.value) < LARGEST:
            named = ("case", name.encode())
            # Neither key nor value: kafka-python sends no such record.
            key = next(keys) if case.value is not None else b"key"
            sent[name.encode()] = Sent(case.value, key, [named, *next(headers)], now())
    return sent


def produce(kafka: Kafka, topic: str, records: Iterable[Sent], compression: str | None = None) -> None:
    """Send records in order, packed in batches."""
    producer = KafkaProducer(
        bootstrap_servers=kafka.bootstrap_servers, compression_type=compression, linger_ms=20
    )
    try:
        futures = [
            producer.send(
                topic,
                record.value,
                record.key,
                [(name, NO_VALUE if value is None else value) for name, value in record.headers],
                timestamp_ms=record.timestamp,
            )
            for record in records
        ]
        producer.flush(60)
        for future in futures:
            future.get(60)
    finally:
        producer.close()


def by_name(records: Iterable[ConsumerRecord]) -> dict[bytes, ConsumerRecord]:
    """The records by their case, which is their first header."""
    named = [(record.headers[0][1], record) for record in records]
    assert len(dict(named)) == len(named), "a message came twice"
    return dict(named)


def of_text(text: str) -> Sent:
    """A comment."""
    return Sent(json.dumps({"text": text}).encode(), None, [("case", text.encode())], now())


def reasons(records: Iterable[ConsumerRecord]) -> Iterator[bytes]:
    """Why those of them that are dead letters are."""
    return (headers["error.reason"] for r in records if "error.reason" in (headers := dict(r.headers)))


def test_corpus_comes_out_as_it_went_in(kafka: Kafka, prefix: str, start: Start) -> None:
    """Each message of the corpus comes out once, labelled or for its reason, with its bytes intact."""
    kafka.create_topics(f"{prefix}comments")
    sent = corpus()
    produce(kafka, f"{prefix}comments", sent.values())

    consumer = start("--exit-at-end")
    assert consumer.wait() == 0, consumer.log_lines()

    came = by_name(kafka.read(*consumer.outputs, count=len(sent)))
    assert came.keys() == sent.keys()
    for name, record in sent.items():
        case = CASES[name.decode()]
        reason = bad_input.reason_of(record, came[name])
        if isinstance(case, Dead):
            assert reason == case.reason
        else:
            left = bad_input.left_of(case.value) if case.left is None else case.left
            assert reason is None
            assert bad_input.left_and_classification(came[name].value)[0] == left


def test_as_many_out_as_in(kafka: Kafka, prefix: str, start: Start) -> None:
    """Each of 5,000 random messages comes out once, whole, over the routed topics and the dead letters."""
    kafka.create_topics(f"{prefix}comments", partitions=3)
    draw = random.Random(4)
    sent = {
        b"%d" % number: Sent(
            bad_input.random_value(draw), b"%d" % (number % 7), [("case", b"%d" % number)], now()
        )
        for number in range(5000)
    }
    produce(kafka, f"{prefix}comments", sent.values())

    consumer = start("--exit-at-end")
    assert consumer.wait() == 0, consumer.log_lines()

    came = by_name(kafka.read(*consumer.outputs, count=len(sent)))
    assert came.keys() == sent.keys()
    found = Counter(bad_input.reason_of(record, came[name]) for name, record in sent.items())
    assert found.keys() > {None, "not-json", "not-utf8", "not-an-object", "text-missing", "text-empty"}


def test_any_codec_is_read(kafka: Kafka, prefix: str, start: Start) -> None:
    """Producers may pack their messages with whatever Kafka knows, each its own."""
    kafka.create_topics(f"{prefix}comments")
    texts = comments(50)
    for number, codec in enumerate((None, "gzip", "snappy", "lz4", "zstd")):
        produce(kafka, f"{prefix}comments", map(of_text, texts[10 * number :][:10]), codec)

    consumer = start("--exit-at-end")
    assert consumer.wait() == 0, consumer.log_lines()

    came = by_name(kafka.read(*consumer.outputs, count=50))
    assert came.keys() == {text.encode() for text in texts}
    assert [*reasons(came.values())] == []


def test_batch_that_cannot_be_unpacked_stops_nothing(
    kafka: Kafka, prefix: str, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that the broker took and Python cannot unpack is one dead letter; what follows is labelled."""
    kafka.create_topics(f"{prefix}comments")
    produce(kafka, f"{prefix}comments", map(of_text, ["late", "slow"]))
    gzip = default_records.gzip_encode
    with monkeypatch.context() as patch:
        patch.setattr(default_records, "gzip_encode", lambda records: gzip(records) + b"no gzip")
        produce(kafka, f"{prefix}comments", map(of_text, comments(50)), "gzip")
    produce(kafka, f"{prefix}comments", map(of_text, ["great", "kind"]))

    consumer = start("--exit-at-end")
    assert consumer.wait() == 0, consumer.log_lines()

    records = kafka.read(*consumer.outputs, count=5)
    assert [*reasons(records)] == [b"unreadable"]
    [letter] = [record for record in records if record.value.endswith(b"no gzip")]
    assert dict(letter.headers)["error.offset"] == b"51"
    assert len(records) == 5


def test_text_that_the_model_fails_at_is_a_dead_letter(
    kafka: Kafka, prefix: str, start: Start, tiny_bundle: Path, tmp_path: Path, tiny_alone: dict[str, str]
) -> None:
    """ONNX Runtime fails at one text in twenty: those are dead letters, and the others have their label."""
    kafka.create_topics(f"{prefix}comments")
    texts = list(tiny_alone)
    fatal = {f"{faults.FATAL} {text}" for text in texts[::20]}
    produce(kafka, f"{prefix}comments", map(of_text, [*texts, *fatal]))

    consumer = start("--exit-at-end", bundle=faults.with_a_word_it_fails_at(tiny_bundle, tmp_path / "bundle"))
    assert consumer.wait() == 0, consumer.log_lines()

    came = by_name(kafka.read(*consumer.outputs, count=len(texts) + len(fatal)))
    dead = {text.decode() for text, record in came.items() if "error.reason" in dict(record.headers)}
    assert dead == fatal
    assert set(reasons(came.values())) == {b"unclassifiable"}
    assert {t: dict(came[t.encode()].headers)["label"].decode() for t in texts} == tiny_alone
    assert not [line for line in consumer.log_lines() if faults.FATAL in line]


FAULTY = """
import os, onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import Fail

real = onnxruntime.InferenceSession.run

def run(self, *arguments):
    if os.path.exists(os.environ["BROKEN"]):
        raise Fail("CUDA failure 700: an illegal memory access was encountered")
    return real(self, *arguments)

onnxruntime.InferenceSession.run = run
"""


def test_model_that_fails_at_everything_ends_the_consumer(
    kafka: Kafka, prefix: str, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends with code 7 and what ONNX Runtime said, commits nothing of the batch, and loses nothing."""
    broken = tmp_path / "broken"
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(FAULTY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    monkeypatch.setenv("BROKEN", str(broken))
    kafka.create_topics(f"{prefix}comments")
    texts = comments(40)
    consumer = start()
    consumer.wait_ready()
    kafka.produce(f"{prefix}comments", [Message(of_text(text).value) for text in texts[:20]])
    assert len(kafka.read(*consumer.outputs, count=20)) == 20

    broken.touch()
    kafka.produce(f"{prefix}comments", [Message(of_text(text).value) for text in texts[20:]])

    assert consumer.wait() == 7, consumer.log_lines()
    assert "CUDA failure 700" in consumer.log_lines()[-1]
    assert committed(kafka, prefix) == 20
    assert len(kafka.read(*consumer.outputs, count=21, seconds=1.0)) == 20
    broken.unlink()
    assert start("--exit-at-end").wait() == 0
    came = [json.loads(record.value)["text"] for record in kafka.read(*consumer.outputs, count=40)]
    assert sorted(came) == sorted(texts)
