"""What a transaction leaves in the log behind its messages, and who counts it as lag."""

from collections.abc import Callable

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from tests.integration.conftest import Kafka
from tests.integration.consumer.conftest import Consumer

MESSAGES = 7


def send(kafka: Kafka, topic: str, name: str, *, commit: bool) -> None:
    """Send comments in one transaction, and end it one way or the other."""
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap_servers, transactional_id=name)
    try:
        producer.init_transactions()
        producer.begin_transaction()
        for number in range(MESSAGES):
            producer.send(topic, b'{"text": "The kettle is late, %d."}' % number)
        producer.flush(30)
        if commit:
            producer.commit_transaction()
        else:
            producer.abort_transaction()
    finally:
        producer.close()


def lag_by_commits(kafka: Kafka, topic: str, group: str) -> int:
    """The lag that Kafka's own tools and KEDA see: the log's end less what the group has committed."""
    partition = TopicPartition(topic, 0)
    asking = KafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers, group_id=group, enable_auto_commit=False
    )
    try:
        return int(asking.end_offsets([partition])[partition] - (asking.committed(partition) or 0))
    finally:
        asking.close()


def test_marks_stay_a_lag_though_all_is_read(
    kafka: Kafka, prefix: str, start: Callable[..., Consumer]
) -> None:
    """A committed transaction leaves a lag of 1, and an aborted one as many more as it held, and 1."""
    topic = f"{prefix}comments"
    consumer = start("--topic-partitions", "1")
    consumer.wait_ready()

    send(kafka, topic, f"{prefix}a", commit=True)
    consumer.wait_until(
        lambda: consumer.metric("urgency_router_messages_labelled_total") == MESSAGES, "all labelled"
    )
    assert lag_by_commits(kafka, topic, f"{prefix}group") == 1

    send(kafka, topic, f"{prefix}b", commit=False)
    consumer.wait_until(lambda: lag_by_commits(kafka, topic, f"{prefix}group") == MESSAGES + 2, "aborted")


def test_marks_are_no_lag_of_the_consumer(kafka: Kafka, prefix: str, start: Callable[..., Consumer]) -> None:
    """The consumer's own lag is what is left to read: nothing, with a mark behind the last message."""
    kafka.create_topics(f"{prefix}comments")
    send(kafka, f"{prefix}comments", f"{prefix}a", commit=True)

    consumer = start()
    consumer.wait_ready()

    consumer.wait_until(
        lambda: consumer.metric("urgency_router_messages_labelled_total") == MESSAGES, "all labelled"
    )
    nothing = f'urgency_router_lag_messages{{partition="0",topic="{prefix}comments"}} 0.0'
    consumer.wait_until(lambda: nothing in consumer.metrics_page(), "without lag")
