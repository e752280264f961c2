"""Every comment once, in order, whatever happens to the consumer."""

import json
import time
from collections.abc import Callable, Iterable
from functools import partial

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord

from tests.conftest import comments
from tests.integration.conftest import Kafka, Message
from tests.integration.consumer.conftest import Consumer

Start = Callable[..., Consumer]


def numbered(count: int, *, start: int = 0, keys: int = 7) -> list[Message]:
    """Different comments, each with its number, keyed so that several share a key."""
    return [
        Message(json.dumps({"number": number, "text": text}).encode(), key=f"key-{number % keys}".encode())
        for number, text in enumerate(comments(count, seed=start), start)
    ]


def numbers(records: Iterable[ConsumerRecord]) -> list[int]:
    """The numbers of the comments that came out."""
    return [json.loads(record.value)["number"] for record in records]


def assert_each_once(records: list[ConsumerRecord], count: int) -> None:
    """Every number once and, per key and topic, in the order they were sent."""
    assert sorted(numbers(records)) == list(range(count))
    in_order: dict[tuple[str, bytes], list[int]] = {}
    for record, number in zip(records, numbers(records), strict=True):
        in_order.setdefault((record.topic, record.key), []).append(number)
    assert all(sent == sorted(sent) for sent in in_order.values())


def test_every_message_once_and_in_order(kafka: Kafka, prefix: str, start: Start) -> None:
    """Each of 2,000 comments comes out once, in order per key, and the group has no lag left."""
    kafka.create_topics(f"{prefix}comments", partitions=3)
    kafka.produce(f"{prefix}comments", numbered(2000))

    consumer = start("--exit-at-end")

    assert consumer.wait() == 0
    assert_each_once(kafka.read(*consumer.outputs, count=2000), 2000)
    assert committed(kafka, prefix) == 2000


def test_restart_publishes_nothing_again(kafka: Kafka, prefix: str, start: Start) -> None:
    """A second run over the same input, with nothing new in it, publishes nothing."""
    kafka.create_topics(f"{prefix}comments", partitions=2)
    kafka.produce(f"{prefix}comments", numbered(50))

    assert start("--exit-at-end").wait() == 0
    again = start("--exit-at-end")
    assert again.wait() == 0

    assert len(kafka.read(*again.outputs, count=50)) == 50


def test_surplus_consumer_ends_too(kafka: Kafka, prefix: str, start: Start) -> None:
    """With --exit-at-end a consumer that has no partition takes over, finds the end and stops as well."""
    kafka.create_topics(f"{prefix}comments")
    kafka.produce(f"{prefix}comments", numbered(500))
    both = [start("--exit-at-end") for _ in range(2)]

    assert [consumer.wait() for consumer in both] == [0, 0]
    assert_each_once(kafka.read(*both[0].outputs, count=500), 500)


def test_two_consumers_share_and_one_leaving_loses_nothing(kafka: Kafka, prefix: str, start: Start) -> None:
    """Two consumers both work; when one leaves in the middle, each comment still comes out once, in order."""
    kafka.create_topics(f"{prefix}comments", partitions=4)
    both = [start("--max-batch-messages", "20") for _ in range(2)]
    for consumer in both:
        consumer.wait_ready()
        consumer.wait_until(partial(has_partitions, consumer, 2), "sharing the partitions")
    kafka.produce(f"{prefix}comments", numbered(8000))
    for consumer in both:
        consumer.wait_until(partial(has_published, consumer), "publishing")
    leaving, staying = both

    assert leaving.stop() == 0

    staying.wait_until(partial(has_partitions, staying, 4), "taking over")
    assert_each_once(kafka.read(*staying.outputs, count=8000), 8000)
    assert staying.metric("urgency_router_messages_discarded_total") > 0, "nothing was in flight"
    assert staying.stop() == 0


def test_sigterm_in_mid_batch(kafka: Kafka, prefix: str, start: Start) -> None:
    """SIGTERM while batches are in flight ends with code 0, and the next consumer goes on without a gap."""
    kafka.create_topics(f"{prefix}comments", partitions=3)
    kafka.produce(f"{prefix}comments", numbered(4000))
    stopped = start("--max-batch-messages", "50")
    stopped.wait_ready()
    stopped.wait_until(partial(has_published, stopped), "publishing")

    assert stopped.stop() == 0

    done = committed(kafka, prefix)
    assert 0 < done < 4000, "the signal came before or after the work, not in the middle"
    assert len(kafka.read(*stopped.outputs, count=done)) == done
    assert start("--exit-at-end").wait() == 0
    assert_each_once(kafka.read(*stopped.outputs, count=4000), 4000)


def test_kill_in_mid_transaction(kafka: Kafka, prefix: str, start: Start) -> None:
    """After SIGKILL with a transaction open, its messages stay invisible, and each comment comes out once."""
    kafka.create_topics(f"{prefix}comments", partitions=3)
    sent = 0
    for _ in range(10):
        kafka.produce(f"{prefix}comments", numbered(2000, start=sent))
        sent += 2000
        killed = start()
        wait_for_uncommitted(kafka, killed)
        killed.kill()
        if uncommitted(kafka, killed):
            break
    else:
        raise AssertionError("no kill of ten hit an open transaction")

    last = start("--exit-at-end")

    assert last.wait() == 0
    assert_each_once(kafka.read(*last.outputs, count=sent), sent)


def test_labels_are_those_of_the_text_alone(
    kafka: Kafka, prefix: str, start: Start, tiny_alone: dict[str, str]
) -> None:
    """Each comment gets the label that the model gives its text by itself, in a batch of one."""
    kafka.create_topics(f"{prefix}comments", partitions=1)
    kafka.produce(f"{prefix}comments", [Message(json.dumps({"text": text}).encode()) for text in tiny_alone])

    consumer = start("--exit-at-end")
    assert consumer.wait() == 0

    records = kafka.read(*consumer.outputs, count=len(tiny_alone))
    labels = {(value := json.loads(r.value))["text"]: value["classification"]["label"] for r in records}
    assert labels == tiny_alone


def has_partitions(consumer: Consumer, count: int) -> bool:
    """Whether the consumer has so many partitions."""
    return consumer.metric("urgency_router_assigned_partitions") == count


def has_published(consumer: Consumer) -> bool:
    """Whether the consumer has published a comment."""
    return consumer.metric("urgency_router_messages_labelled_total") > 0


def committed(kafka: Kafka, prefix: str) -> int:
    """How many messages the group has committed, over all partitions of a topic without gaps."""
    reader = KafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers, group_id=f"{prefix}group", enable_auto_commit=False
    )
    try:
        topic = f"{prefix}comments"
        of_topic = [TopicPartition(topic, number) for number in reader.partitions_for_topic(topic) or ()]
        return sum(reader.committed(partition) or 0 for partition in of_topic)
    finally:
        reader.close()


def ends(kafka: Kafka, consumer: Consumer, isolation_level: str) -> int:
    """The sum of the end offsets of all output partitions, as a reader of that isolation level sees them."""
    reader = KafkaConsumer(bootstrap_servers=kafka.bootstrap_servers, isolation_level=isolation_level)
    try:
        of_topics = [
            TopicPartition(topic, number)
            for topic in consumer.outputs
            for number in reader.partitions_for_topic(topic) or ()
        ]
        return sum(reader.end_offsets(of_topics).values())
    finally:
        reader.close()


def uncommitted(kafka: Kafka, consumer: Consumer) -> bool:
    """Whether the output topics hold messages of an open transaction."""
    return ends(kafka, consumer, "read_uncommitted") > ends(kafka, consumer, "read_committed")


def wait_for_uncommitted(kafka: Kafka, consumer: Consumer, seconds: float = 60.0) -> None:
    """Return as soon as a message shows that no read_committed reader has seen."""
    consumer.wait_ready()
    reader = KafkaConsumer(
        *consumer.outputs,
        bootstrap_servers=kafka.bootstrap_servers,
        isolation_level="read_uncommitted",
        auto_offset_reset="latest",
        group_id=None,
        fetch_max_wait_ms=10,
    )
    try:
        deadline = time.monotonic() + seconds
        while not reader.poll(timeout_ms=10):
            assert time.monotonic() < deadline, f"nothing published in {seconds} s: {consumer.log_lines()}"
    finally:
        reader.close()
