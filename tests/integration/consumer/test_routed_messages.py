"""What subscribers and Prometheus see."""

import json
import time
from collections import Counter
from collections.abc import Callable

from tests.conftest import comments
from tests.integration.conftest import Kafka, Message
from tests.integration.consumer.conftest import URGENCIES, Consumer

Start = Callable[..., Consumer]
OLD = 1_400_000_000_000


def now() -> int:
    """The time, milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def test_key_headers_timestamp_and_fields_stay(kafka: Kafka, prefix: str, start: Start) -> None:
    """A labelled message has the key, headers, timestamp and every byte of the fields that came in."""
    value = b'{"id": 12345678901234567890123, "price": 1.10, "text": "late again", "tags": [ ]}'
    sent = Message(value, b"customer-7", [("trace", b"\x00\xff"), ("trace", b""), ("urgency", b"x")], now())
    kafka.create_topics(f"{prefix}comments")
    kafka.produce(f"{prefix}comments", [sent])

    consumer = start("--exit-at-end")
    assert consumer.wait() == 0

    [record] = kafka.read(*consumer.outputs, count=1)
    urgency = record.topic.removeprefix(prefix)
    classification = json.loads(record.value)["classification"]
    assert record.value.startswith(value[:-1] + b',"classification":{')
    assert (record.key, record.timestamp) == (sent.key, sent.timestamp_ms)
    assert list(record.headers) == [
        *sent.headers,
        ("urgency", urgency.encode()),
        ("label", classification["label"].encode()),
        ("model-version", classification["model"]["version"].encode()),
    ]
    assert classification["urgency"] == urgency
    assert abs(sum(classification["probabilities"].values()) - 1) < 1e-5


def test_topics_split_by_a_field(kafka: Kafka, prefix: str, start: Start) -> None:
    """A comment goes to the topic of its urgency and its field's value, if that is one of the list."""
    shops = ["books", "toys", "garden", "../books", None, 7]
    kafka.create_topics(f"{prefix}comments")
    sent = [
        Message(json.dumps({"text": text, "shop": shop}).encode())
        for text in comments(30, seed=2)
        for shop in shops
    ]
    kafka.produce(f"{prefix}comments", [*sent, Message(b'{"text": "late"}'), Message(b'{"shop": "toys"}')])

    consumer = start("--exit-at-end", "--split-by", "shop", "--split-values", "books,toys,7")
    assert consumer.wait() == 0

    split = [f"{prefix}{urgency}.{shop}" for urgency in URGENCIES for shop in ("books", "toys", 7)]
    assert kafka.topics() >= {*consumer.outputs, *split}
    read = kafka.read(*consumer.outputs, *split, count=len(sent) + 2)
    assert len(read) == len(sent) + 2
    for record in read:
        lane = record.topic.removeprefix(prefix).split(".", 1)
        value = json.loads(record.value)
        if lane != ["dead-letter"]:
            assert lane[0] == value["classification"]["urgency"]
            assert lane[1:] == ([str(value["shop"])] if value.get("shop") in ("books", "toys", 7) else [])


def test_each_bad_message_becomes_a_dead_letter(kafka: Kafka, prefix: str, start: Start) -> None:
    """Each kind of bad message is in the dead letters with its reason, its place and its own bytes."""
    bad: dict[str, bytes | None] = {
        "null-value": None,
        "not-utf8": b'{"text": "caf\xe9"}',
        "not-json": b"late again",
        "not-an-object": b'["late"]',
        "text-missing": b'{"txt": "late"}',
        "text-not-a-string": b'{"text": 5}',
        "text-empty": b'{"text": " "}',
        "too-large": json.dumps({"text": "late", "more": "x" * 990}).encode(),
    }
    kafka.create_topics(f"{prefix}comments")
    sent = [Message(value, reason.encode(), [("trace", b"1")], now()) for reason, value in bad.items()]
    kafka.produce(f"{prefix}comments", [*sent, Message(b'{"text": "good"}')])

    consumer = start("--exit-at-end", "--max-message-bytes", "1000")
    assert consumer.wait() == 0

    letters = kafka.read(f"{prefix}dead-letter", count=len(bad))
    assert len(letters) == len(bad)
    assert len(kafka.read(*consumer.outputs, count=len(bad) + 1)) == len(bad) + 1
    for letter in letters:
        headers = dict(letter.headers)
        reason = headers["error.reason"].decode()
        offset = list(bad).index(reason)
        assert (letter.key, letter.value) == (reason.encode(), bad[reason] or b"")
        assert letter.timestamp == sent[offset].timestamp_ms
        assert headers["trace"] == b"1"
        assert headers["error.message"]
        assert headers["error.topic"].decode() == f"{prefix}comments"
        assert (int(headers["error.partition"]), int(headers["error.offset"])) == (0, offset)


def test_old_timestamp_is_renewed(kafka: Kafka, prefix: str, start: Start) -> None:
    """A comment of long ago is published with today's timestamp and keeps its own in a header."""
    kafka.create_topics(f"{prefix}comments")
    kafka.produce(f"{prefix}comments", [Message(b'{"text": "late"}', timestamp_ms=OLD)])

    consumer = start("--exit-at-end")
    assert consumer.wait() == 0

    [record] = kafka.read(*consumer.outputs, count=1)
    assert now() - record.timestamp < 600_000
    assert dict(record.headers)["original-timestamp"] == str(OLD).encode()


def test_text_format(kafka: Kafka, prefix: str, start: Start) -> None:
    """With --input-format text the value is the comment, and comes out under `text`."""
    kafka.create_topics(f"{prefix}comments")
    kafka.produce(f"{prefix}comments", [Message("zu spät".encode()), Message(b"\xff")])

    consumer = start("--exit-at-end", "--input-format", "text")
    assert consumer.wait() == 0

    [good] = kafka.read(*[f"{prefix}{urgency}" for urgency in URGENCIES], count=1)
    [bad] = kafka.read(f"{prefix}dead-letter", count=1)
    assert json.loads(good.value)["text"] == "zu spät"
    assert dict(bad.headers)["error.reason"] == b"not-utf8"


def test_metrics_agree_with_what_was_sent(kafka: Kafka, prefix: str, start: Start) -> None:
    """/metrics counts, per urgency, label and reason, exactly the messages that readers find."""
    kafka.create_topics(f"{prefix}comments", partitions=2)
    good = [Message(json.dumps({"text": text}).encode(), timestamp_ms=now()) for text in comments(200)]
    kafka.produce(f"{prefix}comments", [*good, *[Message(b"bad"), Message(b"{}")] * 3])
    consumer = start()
    consumer.wait_ready()

    records = kafka.read(*consumer.outputs, count=206)

    found = Counter(
        (headers["urgency"].decode(), headers["label"].decode())
        for record in records
        if "urgency" in (headers := dict(record.headers))
    )
    consumer.wait_until(
        lambda: consumer.metric("urgency_router_delay_seconds_count") == 206, "counting", seconds=10
    )
    for (urgency, label), count in found.items():
        counted = consumer.metric("urgency_router_messages_labelled_total", urgency=urgency, label=label)
        assert counted == count
    assert consumer.metric("urgency_router_messages_labelled_total") == found.total() == 200
    assert consumer.metric("urgency_router_dead_letters_total", reason="not-json") == 3
    assert consumer.metric("urgency_router_dead_letters_total", reason="text-missing") == 3
    assert consumer.metric("urgency_router_batch_messages_sum") == 206
    batches = consumer.metric("urgency_router_batch_messages_count")
    for stage in ("classify", "publish", "commit"):
        assert consumer.metric("urgency_router_stage_seconds_count", stage=stage) == batches
    consumer.wait_until(lambda: consumer.metric("urgency_router_lag_messages") == 0, "without lag")


def test_no_message_text_in_logs(kafka: Kafka, prefix: str, start: Start) -> None:
    """Neither a comment's text nor a bad message's bytes appear in the logs, even at debug level."""
    kafka.create_topics(f"{prefix}comments")
    kafka.produce(f"{prefix}comments", [Message(b'{"text": "abracadabra"}'), Message(b"abracadabra")])

    consumer = start("--exit-at-end", "--log-level", "debug")

    assert consumer.wait() == 0
    assert consumer.log_lines()
    assert not [line for line in consumer.log_lines() if "abracadabra" in line]
