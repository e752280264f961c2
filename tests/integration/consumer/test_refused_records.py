"""Records that Kafka refuses though the client allowed them."""

import json
import time
from collections.abc import Callable

from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.consumer.fetcher import ConsumerRecord

from tests.integration.conftest import Kafka, Message
from tests.integration.consumer.conftest import Consumer
from tests.integration.consumer.test_delivery import committed

Start = Callable[..., Consumer]

LONG = {"number": 1, "text": "the kettle is broken", "attachment": "x" * 20_000}
SHORT = {"number": 0, "text": "the kettle is great"}


def make_topics(kafka: Kafka, prefix: str, *, routed: dict[str, str], dead_letters: dict[str, str]) -> None:
    """Make all topics, and set what the routed ones and the one of the dead letters take."""
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    settings = dict.fromkeys((f"{prefix}{urgency}" for urgency in ("high", "medium", "low")), routed)
    settings[f"{prefix}dead-letter"] = dead_letters
    kafka.create_topics(f"{prefix}comments", *settings)
    try:
        admin.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, name, of_topic) for name, of_topic in settings.items()]
        )
    finally:
        admin.close()


def produce(kafka: Kafka, prefix: str, *comments: dict[str, object], headers: int = 0) -> list[bytes]:
    """Send comments with a key and headers of so many bytes; gives their values."""
    values = [json.dumps(comment).encode() for comment in comments]
    kafka.produce(
        f"{prefix}comments",
        [Message(value, key=b"customer", headers=[("trace", b"x" * headers)]) for value in values],
    )
    return values


def only(records: list[ConsumerRecord], prefix: str, name: str) -> ConsumerRecord:
    """The one record of that output topic."""
    (record,) = [record for record in records if record.topic == f"{prefix}{name}"]
    return record


def test_labelled_message_too_large_for_its_topic_becomes_a_dead_letter(
    kafka: Kafka, prefix: str, start: Start
) -> None:
    """A labelled message above its topic's max.message.bytes is dead-lettered whole; its neighbour is not."""
    make_topics(kafka, prefix, routed={"max.message.bytes": "10000"}, dead_letters={})
    _, long = produce(kafka, prefix, SHORT, LONG, headers=3)

    consumer = start("--exit-at-end")

    assert consumer.wait() == 0
    records = kafka.read(*consumer.outputs, count=2)
    assert len(records) == 2
    letter = only(records, prefix, "dead-letter")
    assert (letter.key, letter.value, letter.headers[0]) == (b"customer", long, ("trace", b"xxx"))
    assert dict(letter.headers)["error.reason"] == b"refused-by-kafka"
    assert dict(letter.headers)["error.message"] == b"MessageSizeTooLargeError"
    assert "error.shortened-from" not in dict(letter.headers)
    assert committed(kafka, prefix) == 2


def test_dead_letter_too_large_for_its_topic_is_shortened(kafka: Kafka, prefix: str, start: Start) -> None:
    """Where the dead letter does not fit either, key and value are cut, and a header says from what size."""
    small = {"max.message.bytes": "10000"}
    make_topics(kafka, prefix, routed=small, dead_letters=small)
    _, long = produce(kafka, prefix, SHORT, LONG, headers=12_000)

    consumer = start("--exit-at-end")

    assert consumer.wait() == 0
    records = kafka.read(*consumer.outputs, count=2)
    assert len(records) == 2
    letters = [record for record in records if record.topic == f"{prefix}dead-letter"]
    assert [dict(letter.headers)["error.offset"] for letter in letters] == [b"0", b"1"], "both are too large"
    cut = letters[1]
    assert cut.value == long[:4096]
    assert int(dict(cut.headers)["error.shortened-from"]) > len(long) + 12_000
    assert dict(cut.headers)["error.reason"] == b"refused-by-kafka"
    assert "trace" not in dict(cut.headers)
    assert committed(kafka, prefix) == 2


def test_refused_timestamp_becomes_a_dead_letter(kafka: Kafka, prefix: str, start: Start) -> None:
    """A timestamp that the routed topic does not take is kept in the dead letter's original-timestamp."""
    make_topics(kafka, prefix, routed={"message.timestamp.before.max.ms": "60000"}, dead_letters={})
    hour_ago = 3_600_000
    sent_at = time.time_ns() // 1_000_000 - hour_ago
    kafka.produce(f"{prefix}comments", [Message(json.dumps(SHORT).encode(), timestamp_ms=sent_at)])

    consumer = start("--exit-at-end")

    assert consumer.wait() == 0
    (letter,) = kafka.read(*consumer.outputs, count=1)
    headers = dict(letter.headers)
    assert (headers["error.reason"], headers["error.message"]) == (
        b"refused-by-kafka",
        b"InvalidTimestampError",
    )
    assert headers["original-timestamp"] == str(sent_at).encode()
    assert letter.timestamp > sent_at + hour_ago - 60_000


def test_neighbours_of_refused_timestamps_are_labelled(kafka: Kafka, prefix: str, start: Start) -> None:
    """Of a batch in which Kafka refuses every third timestamp, the others are labelled all the same."""
    make_topics(kafka, prefix, routed={"message.timestamp.before.max.ms": "60000"}, dead_letters={})
    sent_at = time.time_ns() // 1_000_000
    values = [json.dumps({**SHORT, "number": number}).encode() for number in range(60)]
    kafka.produce(
        f"{prefix}comments",
        [
            Message(value, timestamp_ms=sent_at - (0 if number % 3 else 3_600_000))
            for number, value in enumerate(values)
        ],
    )

    consumer = start("--exit-at-end")

    assert consumer.wait() == 0
    records = kafka.read(*consumer.outputs, count=60)
    letters = [record.value for record in records if record.topic == f"{prefix}dead-letter"]
    assert len(records) == 60
    assert sorted(letters) == sorted(values[::3])


def test_batch_full_of_refused_records_takes_few_transactions(
    kafka: Kafka, prefix: str, start: Start
) -> None:
    """Hundreds of records too large for their topic cost a few failed transactions, not one each."""
    make_topics(kafka, prefix, routed={"max.message.bytes": "10000"}, dead_letters={})
    produce(kafka, prefix, *({**LONG, "number": number} for number in range(300)))

    consumer = start()
    consumer.wait_ready()
    consumer.wait_until(lambda: committed(kafka, prefix) == 300, "through")

    assert consumer.metric("urgency_router_dead_letters_total", reason="refused-by-kafka") == 300
    failed = consumer.metric("urgency_router_transactions_total", outcome="failed")
    assert failed < 60, f"{failed:.0f} failed transactions for 300 records"
    assert consumer.stop() == 0


def test_dead_letter_refused_in_any_form_ends_the_consumer(kafka: Kafka, prefix: str, start: Start) -> None:
    """A dead-letter topic that takes nothing ends the consumer with code 9 and commits nothing."""
    make_topics(kafka, prefix, routed={}, dead_letters={"max.message.bytes": "100"})
    kafka.produce(f"{prefix}comments", [Message(b"no comment")])

    consumer = start()

    assert consumer.wait() == 9
    last = consumer.log_lines()[-1]
    assert f"{prefix}dead-letter refuses" in last
    assert f"offset 0 of {prefix}comments-0" in last
    assert committed(kafka, prefix) == 0
