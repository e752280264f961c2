"""That kafka-python's traps are there: each test shows one by kafka-python alone.

One that fails after an upgrade brings good news: look whether our defence (test_kafka_python_traps) can go.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kafka import ConsumerRebalanceListener, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.errors import (
    CommitFailedError,
    KafkaConfigurationError,
    KafkaError,
    KafkaTimeoutError,
    ProducerFencedError,
)
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata

from tests.integration.conftest import Kafka
from tests.integration.consumer.test_kafka_python_traps import (
    SECONDS,
    abort_a_message,
    before_records,
    committed,
    delete,
    read_until,
    stale,
    unanswered,
    until_aborted,
    visible,
    wait_until,
)
from tests.integration.consumer.test_kafka_python_traps import member as member  # fixtures
from tests.integration.consumer.test_kafka_python_traps import topics as topics

Make = Callable[..., KafkaProducer]


@pytest.fixture
def make(kafka: Kafka, prefix: str) -> Iterator[Make]:
    """Make a transactional producer, ready."""
    made: list[KafkaProducer] = []

    def make_one(**settings: Any) -> KafkaProducer:
        producer = KafkaProducer(
            bootstrap_servers=kafka.bootstrap_servers, transactional_id=f"{prefix}id", **settings
        )
        made.append(producer)
        producer.init_transactions()
        return producer

    yield make_one
    for producer in made:
        producer.close(timeout=1)


def offset(prefix: str, partition: int, at: int) -> dict[TopicPartition, OffsetAndMetadata]:
    """What `send_offsets_to_transaction` takes."""
    return {TopicPartition(f"{prefix}comments", partition): OffsetAndMetadata(at, "", -1)}


def test_trap_1_an_aborted_transactions_offsets_go_out_with_the_next(
    kafka: Kafka, prefix: str, member: KafkaConsumer, make: Make
) -> None:
    """Offsets that Kafka refused are committed by the producer's next transaction, which never named them."""
    producer = make()
    producer.begin_transaction()
    with pytest.raises(CommitFailedError):
        producer.send_offsets_to_transaction(offset(prefix, 0, 1), stale(member.group_metadata()))
    producer.abort_transaction()

    producer.begin_transaction()
    producer.send_offsets_to_transaction(offset(prefix, 1, 1), member.group_metadata())
    producer.commit_transaction()

    assert committed(kafka, prefix) == {0: 1, 1: 1}


@pytest.mark.usefixtures("topics")
def test_trap_2_a_commit_under_way_succeeds_and_nothing_is_committed(
    kafka: Kafka, prefix: str, make: Make
) -> None:
    """commit_transaction returns as after a success though Kafka has given up the transaction."""
    producer = make(transaction_timeout_ms=1000)
    before_records(producer, until_aborted(kafka, f"{prefix}id"))
    producer.begin_transaction()
    lost = producer.send(f"{prefix}high", b"value")

    producer.commit_transaction()

    assert "InvalidProducerEpoch" in repr(lost.exception)
    assert visible(kafka, prefix) == []


@pytest.mark.usefixtures("topics")
def test_trap_2_a_failed_transaction_can_be_neither_committed_nor_aborted(
    kafka: Kafka, prefix: str, make: Make
) -> None:
    """Once Kafka has given up the transaction, both commit and abort raise: the producer has forgotten it."""
    producer = make(transaction_timeout_ms=1000)
    before_records(producer, until_aborted(kafka, f"{prefix}id"))
    producer.begin_transaction()
    producer.send(f"{prefix}high", b"value")
    producer.flush(SECONDS)
    wait_until(lambda: not producer._transaction_manager.is_bumping_epoch(), "through with the new epoch")

    for end in (producer.commit_transaction, producer.abort_transaction):
        with pytest.raises(KafkaError, match="from state READY"):
            end()


@pytest.mark.usefixtures("topics")
def test_trap_3_a_commit_succeeds_without_a_record_given_up(kafka: Kafka, prefix: str, make: Make) -> None:
    """A record whose time for delivery is over is lost, and the rest of its transaction is committed."""
    producer = make(delivery_timeout_ms=1000, request_timeout_ms=500, linger_ms=100)
    for topic in ("high", "low"):
        producer.partitions_for(f"{prefix}{topic}")
    before_records(producer, delete(kafka, f"{prefix}low"))
    producer.begin_transaction()
    kept, lost = (producer.send(f"{prefix}{topic}", b"value") for topic in ("high", "low"))

    producer.flush(SECONDS)
    producer.commit_transaction()

    assert (kept.exception, type(lost.exception)) == (None, KafkaTimeoutError)
    assert visible(kafka, prefix) == ["high"]


@pytest.mark.usefixtures("topics")
def test_trap_4_a_fenced_producer_raises_no_fenced_error(prefix: str, make: Make) -> None:
    """The methods of a producer that has been fenced raise a plain KafkaError."""
    producer = make()
    make()
    producer.begin_transaction()
    producer.send(f"{prefix}high", b"value")
    wait_until(producer._transaction_manager.has_fatal_error, "fenced")
    assert isinstance(producer._transaction_manager.last_error, ProducerFencedError)

    for method in (producer.commit_transaction, producer.abort_transaction, producer.begin_transaction):
        with pytest.raises(KafkaError) as raised:
            method()
        assert raised.type is KafkaError


def test_trap_5_without_a_generation_nobody_is_fenced(
    kafka: Kafka, prefix: str, member: KafkaConsumer, make: Make
) -> None:
    """Kafka takes offsets from one outside the group for a partition that a member is reading."""
    producer = make()
    assert TopicPartition(f"{prefix}comments", 0) in member.assignment()
    producer.begin_transaction()

    producer.send_offsets_to_transaction(offset(prefix, 0, 1), ConsumerGroupMetadata(f"{prefix}group"))
    producer.commit_transaction()

    assert committed(kafka, prefix) == {0: 1}


@pytest.fixture
def by_default(kafka: Kafka, prefix: str, topics: None) -> Iterator[KafkaConsumer]:
    """A consumer with kafka-python's own settings; its input topic also holds a message rolled back."""
    abort_a_message(kafka, f"{prefix}comments")
    consumer = KafkaConsumer(
        f"{prefix}comments", bootstrap_servers=kafka.bootstrap_servers, group_id=f"{prefix}group"
    )
    consumer.partitions_for_topic(f"{prefix}comments")  # else trap 11
    yield consumer
    consumer.close()


def test_trap_7_the_default_skips_what_is_there(prefix: str, by_default: KafkaConsumer) -> None:
    """A new group begins at the end."""
    partition = TopicPartition(f"{prefix}comments", 1)

    def positioned() -> bool:
        by_default.poll(50)
        return bool(by_default.assignment()) and by_default.position(partition) is not None

    wait_until(positioned, "positioned")

    assert by_default.position(partition) == 1


def test_trap_7_the_default_reads_what_was_rolled_back_and_commits_it(
    kafka: Kafka, prefix: str, by_default: KafkaConsumer
) -> None:
    """Messages of a transaction that was aborted are read, and closing commits them as dealt with."""
    wait_until(lambda: bool(by_default.poll(50) or by_default.assignment()), "joined")
    by_default.seek_to_beginning()
    read_until(by_default, lambda read: b"rolled back" in [record.value for record in read])

    by_default.close()

    assert committed(kafka, prefix)[0] >= 2


def test_trap_9_assignors_that_stop_the_world_do_not_mix_with_one_that_does_not(
    kafka: Kafka, prefix: str
) -> None:
    """One consumer cannot offer both, so a group changes over only as a whole."""
    with pytest.raises(KafkaConfigurationError, match="RebalanceProtocol"):
        KafkaConsumer(
            bootstrap_servers=kafka.bootstrap_servers,
            group_id=f"{prefix}group",
            partition_assignment_strategy=[CooperativeStickyAssignor(), RangePartitionAssignor()],
        )


@pytest.mark.usefixtures("topics")
def test_trap_9_listeners_run_where_heartbeats_do(kafka: Kafka, prefix: str) -> None:
    """A rebalance listener runs on the I/O thread, and holds up heartbeats for as long as it takes."""
    ran_on: list[str] = []

    class Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python has no types
        def on_partitions_assigned(self, _: object) -> None:
            ran_on.append(threading.current_thread().name)

        def on_partitions_revoked(self, _: object) -> None:
            pass

    consumer = KafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers, group_id=f"{prefix}group", enable_auto_commit=False
    )
    consumer.subscribe([f"{prefix}comments"], listener=Listener())
    consumer.partitions_for_topic(f"{prefix}comments")  # else trap 11
    try:
        wait_until(lambda: bool(consumer.poll(50) or ran_on), "assigned")
    finally:
        consumer.close()

    assert ran_on[0].startswith("kafka-io")


@contextlib.contextmanager
def joined(kafka: Kafka, prefix: str, **settings: Any) -> Iterator[KafkaConsumer]:
    """A consumer by itself in its group, of a topic with one partition."""
    kafka.create_topics(f"{prefix}comments")
    consumer = KafkaConsumer(
        f"{prefix}comments",
        bootstrap_servers=kafka.bootstrap_servers,
        group_id=f"{prefix}group",
        enable_auto_commit=False,
        **settings,
    )
    consumer.partitions_for_topic(f"{prefix}comments")
    try:
        wait_until(lambda: bool(consumer.poll(50) or consumer.assignment()), "joined")
        yield consumer
    finally:
        consumer.close()


def test_trap_11_a_join_begun_by_new_partitions_is_forgotten(kafka: Kafka, prefix: str) -> None:
    """A rejoin for new partitions that outlasts its poll is never finished: no partitions, no heartbeats."""
    with joined(kafka, prefix, metadata_max_age_ms=200) as consumer:
        coordinator = consumer._coordinator
        admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
        admin.create_partitions({f"{prefix}comments": 3})
        admin.close()
        wait_until(lambda: bool(consumer.poll(0) or coordinator._join_task), "rejoining")
        wait_until(lambda: bool(coordinator._join_task.is_done), "through with it")

        for _ in range(20):
            consumer.poll(50)

        assert consumer.partitions_for_topic(f"{prefix}comments") == {0, 1, 2}
        assert len(consumer.assignment()) == 1
        assert not coordinator._heartbeat_enabled


def test_trap_13_a_join_that_ends_between_two_polls_is_begun_again(kafka: Kafka, prefix: str) -> None:
    """What a join brought is thrown away unless a poll waited for its end: the group rebalances once more."""
    with joined(kafka, prefix) as consumer:
        coordinator = consumer._coordinator
        generation = consumer.group_metadata().generation_id
        coordinator.request_rejoin()
        wait_until(lambda: bool(consumer.poll(0) or coordinator._join_task), "rejoining")
        wait_until(lambda: bool(coordinator._join_task.is_done), "through with it")
        assert consumer.group_metadata().generation_id == generation + 1

        consumer.poll(1000)

        assert consumer.group_metadata().generation_id > generation + 1


@pytest.mark.usefixtures("topics")
def test_trap_12_an_answer_that_came_too_late_is_given_the_next_time(kafka: Kafka, prefix: str) -> None:
    """A committed offset that was not waited for is kept, and given out later, though others came since."""
    partition = TopicPartition(f"{prefix}comments", 0)
    one, other = (
        KafkaConsumer(
            bootstrap_servers=kafka.bootstrap_servers, group_id=f"{prefix}group", enable_auto_commit=False
        )
        for _ in range(2)
    )
    try:
        one.assign([partition])
        other.assign([partition])
        other.commit({partition: OffsetAndMetadata(1, "", -1)})
        assert one.committed(partition) == 1
        assert unanswered(one, partition)
        (late,) = one._coordinator._offset_fetch_futures.values()
        wait_until(lambda: bool(late.is_done), "answered")

        other.commit({partition: OffsetAndMetadata(7, "", -1)})

        assert one.committed(partition) == 1
        assert one.committed(partition) == 7
    finally:
        one.close()
        other.close()
