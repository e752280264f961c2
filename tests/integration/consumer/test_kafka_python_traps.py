"""What bites in kafka-python, trap by trap, and that it does not bite us: a real broker, real clients.

That the traps are there at all is in test_kafka_python_itself.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError, KafkaTimeoutError, NoOffsetForPartitionError
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata

from consumer import clients, rejoining
from consumer import settings as consumer_settings
from consumer.errors import TransactionFailed
from consumer.messages import Outgoing
from consumer.settings import Settings
from consumer.transactions import TransactionalProducer
from deploy.local.broker import Broker
from tests.integration.conftest import Kafka, Message
from tests.integration.consumer.test_pipeline import Loop
from tests.integration.consumer.test_pipeline import loop as loop  # a fixture

SECONDS = 30.0
# What one of our transactions may take here, unless a test says otherwise.
TIMEOUT_SECONDS = 10.0


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Return once the condition holds."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not {what} in {SECONDS:.0f} s"
        time.sleep(0.02)


def parsed(kafka: Kafka, prefix: str, *arguments: str) -> Settings:
    """Settings of a consumer of this test's topics."""
    own = ["--bundle", ".", "--bootstrap-servers", kafka.bootstrap_servers, "--group-id", f"{prefix}group"]
    return consumer_settings.parse(
        [*own, "--input-topic", f"{prefix}comments", "--output-prefix", prefix, *arguments]
    )


def polled(consumer: KafkaConsumer) -> list[Any]:
    """What one poll brings; partitions that have no committed offset are read from their beginning."""
    try:
        batches = consumer.poll(timeout_ms=50)
    except NoOffsetForPartitionError:
        consumer.seek_to_beginning()
        return []
    return [record for batch in batches.values() for record in batch]


def read_until(consumer: KafkaConsumer, enough: Callable[[list[Any]], bool]) -> list[Any]:
    """What the consumer reads until that is enough."""
    read: list[Any] = []

    def go_on() -> bool:
        read.extend(polled(consumer))
        return enough(read)

    wait_until(go_on, "read")
    return read


def join(consumer: KafkaConsumer) -> ConsumerGroupMetadata:
    """The membership, once the consumer has its partitions."""

    def joined() -> bool:
        polled(consumer)
        return bool(consumer.assignment())

    wait_until(joined, "joined")
    membership: ConsumerGroupMetadata = consumer.group_metadata()
    return membership


@pytest.fixture
def topics(kafka: Kafka, prefix: str) -> None:
    """An input topic with one message in each of two partitions, and topics to write to."""
    kafka.create_topics(f"{prefix}comments", partitions=2)
    kafka.create_topics(f"{prefix}high", f"{prefix}low")
    kafka.produce(f"{prefix}comments", [Message(b"{}", partition=number) for number in (0, 1)])


@pytest.fixture
def member(kafka: Kafka, prefix: str, topics: None) -> Iterator[KafkaConsumer]:
    """Our consumer, having joined the group."""
    consumer = clients.consumer(parsed(kafka, prefix))
    join(consumer)
    yield consumer
    consumer.close()


@pytest.fixture
def producer(kafka: Kafka, prefix: str) -> Iterator[TransactionalProducer]:
    """Our producer, not connected yet."""
    producer = TransactionalProducer(
        f"{prefix}id", TIMEOUT_SECONDS, {"bootstrap_servers": kafka.bootstrap_servers}
    )
    yield producer
    producer.close()


def outgoing(topic: str) -> Outgoing:
    """A record to publish."""
    return Outgoing(topic, b"key", b"value", [], None)


def offsets(prefix: str, by_partition: Mapping[int, int]) -> dict[TopicPartition, OffsetAndMetadata]:
    """What `publish` takes."""
    return {
        TopicPartition(f"{prefix}comments", number): OffsetAndMetadata(at, "", -1)
        for number, at in by_partition.items()
    }


def committed(kafka: Kafka, prefix: str) -> dict[int, int]:
    """The group's committed offset of each partition of the input topic that has one."""
    reader = KafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers, group_id=f"{prefix}group", enable_auto_commit=False
    )
    try:
        numbers = reader.partitions_for_topic(f"{prefix}comments")
        found = {number: reader.committed(TopicPartition(f"{prefix}comments", number)) for number in numbers}
        return {number: offset for number, offset in found.items() if offset is not None}
    finally:
        reader.close()


def visible(kafka: Kafka, prefix: str) -> list[str]:
    """The topic of each record that a read_committed reader sees now."""
    return sorted(
        record.topic.removeprefix(prefix) for record in kafka.read(f"{prefix}high", f"{prefix}low", count=0)
    )


def stale(membership: ConsumerGroupMetadata) -> ConsumerGroupMetadata:
    """The same member in a generation that the group is not in."""
    return membership._replace(generation_id=membership.generation_id + 7)


def aborted(kafka: Kafka, transactional_id: str) -> bool:
    """Whether Kafka has given up the transaction."""
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    try:
        return bool(
            admin.describe_transactions([transactional_id])[transactional_id].state == "CompleteAbort"
        )
    finally:
        admin.close()


def before_records(producer: KafkaProducer, event: Callable[[], Any]) -> None:
    """Let something happen between a transaction's beginning and the first records that Kafka gets in it."""
    real = producer._sender._produce_request

    def produce_request(*arguments: Any) -> Any:
        producer._sender._produce_request = real
        event()
        return real(*arguments)

    producer._sender._produce_request = produce_request


def until_aborted(kafka: Kafka, transactional_id: str) -> Callable[[], None]:
    """A pause so long that Kafka gives up the transaction."""
    return lambda: wait_until(lambda: aborted(kafka, transactional_id), "aborted")


def delete(kafka: Kafka, topic: str) -> Callable[[], None]:
    """The deletion of a topic: the client tries again to write to it, until the record's time is over."""

    def deleted() -> None:
        admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
        try:
            admin.delete_topics([topic])
        finally:
            admin.close()

    return deleted


def test_trap_1_offsets_of_an_aborted_transaction_do_not_go_out_with_the_next(
    kafka: Kafka, prefix: str, member: KafkaConsumer, producer: TransactionalProducer
) -> None:
    """After offsets that Kafka refused, a new transaction commits its own offsets and no others."""
    producer.connect()
    with pytest.raises(TransactionFailed, match="IllegalGeneration"):
        producer.publish([], offsets(prefix, {0: 1}), stale(member.group_metadata()))
    producer.connect()

    producer.publish([], offsets(prefix, {1: 1}), member.group_metadata())

    assert committed(kafka, prefix) == {1: 1}


def test_trap_2_a_transaction_that_kafka_gave_up_is_not_taken_for_committed(
    kafka: Kafka, prefix: str, member: KafkaConsumer, producer: TransactionalProducer
) -> None:
    """A batch whose transaction Kafka gave up before its records came fails, and the next publishes it."""
    producer._settings |= {"transaction_timeout_ms": 1000, "linger_ms": 2000}
    producer.connect()
    before_records(producer._producer, until_aborted(kafka, f"{prefix}id"))
    batch = ([outgoing(f"{prefix}high")], offsets(prefix, {0: 1}), member.group_metadata())

    with pytest.raises(TransactionFailed, match="InvalidProducerEpoch"):
        producer.publish(*batch)

    assert (visible(kafka, prefix), committed(kafka, prefix)) == ([], {})
    producer.connect()
    producer.publish(*batch)
    assert (visible(kafka, prefix), committed(kafka, prefix)) == (["high"], {0: 1})


def test_trap_3_a_record_given_up_takes_its_transaction_with_it(
    kafka: Kafka, prefix: str, member: KafkaConsumer, producer: TransactionalProducer
) -> None:
    """When one record of a batch cannot be delivered in time, nothing of the batch is committed."""
    producer._settings |= {"delivery_timeout_ms": 1000, "request_timeout_ms": 500}
    producer.connect()
    producer._producer.partitions_for(f"{prefix}low")
    before_records(producer._producer, delete(kafka, f"{prefix}low"))
    batch = [outgoing(f"{prefix}low"), outgoing(f"{prefix}high")]

    with pytest.raises(TransactionFailed, match="KafkaTimeoutError"):
        producer.publish(batch, offsets(prefix, {0: 1}), member.group_metadata())

    producer.connect()
    assert (visible(kafka, prefix), committed(kafka, prefix)) == ([], {})


def test_trap_4_a_fenced_producer_fails_every_time_as_any_other(
    kafka: Kafka, prefix: str, member: KafkaConsumer, producer: TransactionalProducer
) -> None:
    """A producer that another of its name has fenced fails, fails again, and works once connected anew."""
    producer.connect()
    other = TransactionalProducer(
        f"{prefix}id", TIMEOUT_SECONDS, {"bootstrap_servers": kafka.bootstrap_servers}
    )
    other.connect()
    batch = ([outgoing(f"{prefix}high")], offsets(prefix, {0: 1}), member.group_metadata())

    for _ in range(2):
        with pytest.raises(TransactionFailed):
            producer.publish(*batch)

    producer.connect()
    producer.publish(*batch)
    assert (visible(kafka, prefix), committed(kafka, prefix)) == (["high"], {0: 1})
    other.close()


@pytest.mark.usefixtures("topics")
def test_trap_5_a_member_that_did_not_poll_in_time_commits_nothing(
    kafka: Kafka, prefix: str, producer: TransactionalProducer
) -> None:
    """A batch of a consumer that has lost its membership for want of polling is not published."""
    slow = clients.consumer(parsed(kafka, prefix, "--max-poll-interval-seconds", "1"))
    try:
        join(slow)
        wait_until(lambda: slow.group_metadata().generation_id < 0, "thrown out")
        producer.connect()

        with pytest.raises(TransactionFailed, match="outside a group membership"):
            producer.publish([outgoing(f"{prefix}high")], offsets(prefix, {0: 1}), slow.group_metadata())
    finally:
        slow.close()

    assert (visible(kafka, prefix), committed(kafka, prefix)) == ([], {})


class Held:
    """A call on a thread of its own that stops before one of its steps until it may go on."""

    def __init__(self, call: Callable[[], None], owner: Any, step: str) -> None:
        self.error: Exception | None = None
        self._go_on = threading.Event()
        reached = threading.Event()
        real = getattr(owner, step)

        def held(*arguments: Any) -> Any:
            reached.set()
            self._go_on.wait()
            return real(*arguments)

        def run() -> None:
            try:
                call()
            except TransactionFailed as error:
                self.error = error

        setattr(owner, step, held)
        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()
        assert reached.wait(SECONDS)

    def go_on(self) -> None:
        """Let it take the step."""
        self._go_on.set()


def test_trap_6_no_step_waits_for_an_answer_without_end(prefix: str) -> None:
    """Where Kafka goes away before offsets or commit the batch fails in time; kafka-python still waits."""
    with Broker() as broker:
        kafka = Kafka(broker.bootstrap_servers)
        kafka.create_topics(f"{prefix}high", f"{prefix}comments")
        member = clients.consumer(parsed(kafka, prefix))
        batch = ([outgoing(f"{prefix}high")], offsets(prefix, {0: 1}), join(member))
        ours: dict[str, Held] = {}
        for step in ("send_offsets_to_transaction", "begin_commit"):
            producer = TransactionalProducer(
                f"{prefix}{step}", 3.0, {"bootstrap_servers": broker.bootstrap_servers}
            )
            producer.connect()
            manager = producer._producer._transaction_manager
            ours[step] = Held(partial(producer.publish, *batch), manager, step)
        bare = KafkaProducer(
            bootstrap_servers=broker.bootstrap_servers,
            transactional_id=f"{prefix}bare",
            transaction_timeout_ms=1000,
            delivery_timeout_ms=1000,
            request_timeout_ms=500,
            max_block_ms=1000,
        )
        bare.init_transactions()
        bare.begin_transaction()
        bare.send(f"{prefix}high", b"value").get(SECONDS)
        kafka_pythons = Held(bare.commit_transaction, bare._transaction_manager, "begin_commit")

        broker.kill()

        for held in (*ours.values(), kafka_pythons):
            held.go_on()
        for step, held in ours.items():
            held.thread.join(SECONDS)
            assert isinstance(held.error, TransactionFailed), step
        assert kafka_pythons.thread.is_alive(), "kafka-python has learnt to give up: is `_await` needed?"
        bare._sender.force_close()
        member.close(timeout_ms=100)


@pytest.mark.usefixtures("topics")
def test_trap_7_closing_commits_nothing(kafka: Kafka, prefix: str) -> None:
    """What was read but not published stays uncommitted when the consumer goes."""
    consumer = clients.consumer(parsed(kafka, prefix))
    read_until(consumer, lambda read: len(read) == 2)

    consumer.close()

    assert committed(kafka, prefix) == {}


def abort_a_message(kafka: Kafka, topic: str) -> None:
    """Write a message to partition 0 in a transaction that is then rolled back."""
    author = KafkaProducer(bootstrap_servers=kafka.bootstrap_servers, transactional_id=f"{topic}.author")
    try:
        author.init_transactions()
        author.begin_transaction()
        author.send(topic, b"rolled back", partition=0).get(SECONDS)
        author.abort_transaction()
    finally:
        author.close()


@pytest.mark.usefixtures("topics")
def test_trap_7_messages_rolled_back_are_not_read(kafka: Kafka, prefix: str) -> None:
    """A message of the input topic whose transaction was rolled back does not come to us."""
    abort_a_message(kafka, f"{prefix}comments")
    kafka.produce(f"{prefix}comments", [Message(b"after", partition=0)])
    consumer = clients.consumer(parsed(kafka, prefix))
    try:
        read = read_until(consumer, lambda read: b"after" in [record.value for record in read])
    finally:
        consumer.close()

    assert b"rolled back" not in [record.value for record in read]


@pytest.mark.usefixtures("topics")
def test_trap_7_a_missing_offset_is_reported(kafka: Kafka, prefix: str) -> None:
    """A partition without a committed offset is an error to answer, not a place to skip from."""
    consumer = clients.consumer(parsed(kafka, prefix))
    try:
        with pytest.raises(NoOffsetForPartitionError):
            wait_until(lambda: bool(consumer.poll(timeout_ms=50)), "read")
    finally:
        consumer.close()


def test_trap_8_a_killed_consumer_holds_up_readers_no_longer_than_the_setting(
    kafka: Kafka, prefix: str, topics: None
) -> None:
    """The transaction of a producer that is gone ends by our time limit, not by the client's 60 seconds."""
    killed = TransactionalProducer(f"{prefix}id", 1.0, {"bootstrap_servers": kafka.bootstrap_servers})
    killed.connect()
    killed._producer.begin_transaction()
    killed._producer.send(f"{prefix}high", b"uncommitted").get(SECONDS)
    killed._producer._sender.force_close()
    kafka.produce(f"{prefix}high", [Message(b"after")])

    wait_until(lambda: visible(kafka, prefix) == ["high"], "past the open transaction")


def test_trap_9_the_group_rebalances_cooperatively(
    kafka: Kafka, prefix: str, member: KafkaConsumer, producer: TransactionalProducer
) -> None:
    """A batch from before a second member came is refused, though the protocol let its partition stay."""
    before = member.group_metadata()
    second = clients.consumer(parsed(kafka, prefix))
    try:

        def shared() -> bool:
            for one in (member, second):
                rejoining.keep(one._coordinator)  # else trap 13
                with contextlib.suppress(KafkaError):
                    polled(one)
            return len(member.assignment()) == len(second.assignment()) == 1

        wait_until(shared, "sharing")
        (kept,) = member.assignment()
        producer.connect()

        with pytest.raises(TransactionFailed, match="IllegalGeneration"):
            producer.publish([outgoing(f"{prefix}high")], offsets(prefix, {kept.partition: 1}), before)
        assert described(kafka, prefix)["protocol_data"] == "cooperative-sticky"
    finally:
        second.close()

    producer.connect()
    assert (visible(kafka, prefix), committed(kafka, prefix)) == ([], {})


def described(kafka: Kafka, prefix: str) -> dict[str, Any]:
    """Kafka's description of the group."""
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    try:
        group: dict[str, Any] = admin.describe_groups([f"{prefix}group"])[f"{prefix}group"]
        return group
    finally:
        admin.close()


def test_trap_10_apache_kafka_is_met_with_the_protocols_that_we_count_on(
    kafka: Kafka, prefix: str, member: KafkaConsumer, producer: TransactionalProducer
) -> None:
    """With Apache Kafka 4.3: a classic group (no KIP-848), one epoch for all transactions (no KIP-890)."""
    producer.connect()
    epochs = set()
    for offset in (1, 2):
        producer.publish([outgoing(f"{prefix}high")], offsets(prefix, {0: offset}), member.group_metadata())
        epochs.add(producer._producer._transaction_manager.producer_id_and_epoch.epoch)

    assert member.config["api_version"] == (4, 3)
    assert described(kafka, prefix)["protocol_type"] == "consumer"
    assert len(epochs) == 1


def test_trap_11_a_join_begun_by_new_partitions_is_finished(
    loop: Loop, kafka: Kafka, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Partitions that come to a loop too busy to wait in a poll are read all the same."""
    monkeypatch.setattr("consumer.pipeline.IDLE_POLL_MS", 0)
    loop.settings = loop.settings.model_copy(update={"metadata_max_age_seconds": 0.2})
    stop = threading.Event()

    def run() -> None:
        with loop.pipeline() as pipeline:
            pipeline.run(stop, exit_at_end=False)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        wait_until(lambda: committed(kafka, prefix) == {0: 50, 1: 50}, "through with what was there")
        admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
        admin.create_partitions({f"{prefix}comments": 3})
        admin.close()
        kafka.produce(f"{prefix}comments", [Message(b"{}", partition=2)])

        wait_until(lambda: committed(kafka, prefix).get(2) == 1, "reading the new partition")
    finally:
        stop.set()
        thread.join(SECONDS)
    assert not thread.is_alive()


def test_trap_13_a_join_that_ends_between_two_polls_counts(loop: Loop) -> None:
    """A loop that was busy while its join ended has joined: the group need not rebalance once more."""
    with loop.pipeline() as pipeline:
        join(loop.consumer)
        coordinator = loop.consumer._coordinator
        generation = loop.consumer.group_metadata().generation_id
        coordinator.request_rejoin()
        wait_until(lambda: bool(pipeline._poll(1, 0) or coordinator._join_task), "rejoining")
        ended: list[bool] = []
        coordinator._join_task.add_callback(lambda _: ended.append(True))
        wait_until(lambda: bool(ended), "through with it")

        wait_until(lambda: bool(pipeline._poll(1, 0) or not coordinator.rejoining), "at work again")

        assert loop.consumer.group_metadata() == join(loop.consumer)
        assert loop.consumer.group_metadata().generation_id == generation + 1


def unanswered(consumer: KafkaConsumer, partition: TopicPartition) -> bool:
    """Ask for a committed offset without waiting for the answer; false if there was one left from before."""
    try:
        consumer.committed(partition, timeout_ms=0)
    except KafkaTimeoutError:
        return True
    return False


def test_trap_12_a_partition_that_comes_back_is_read_from_what_was_committed_meanwhile(
    kafka: Kafka, prefix: str
) -> None:
    """A committed offset asked for before a partition was lost is not used once it has come back."""
    kafka.create_topics(f"{prefix}comments")
    kafka.produce(f"{prefix}comments", [Message(b"{}")] * 9)
    partition = TopicPartition(f"{prefix}comments", 0)
    consumer = clients.consumer(parsed(kafka, prefix, "--max-poll-interval-seconds", "1"))
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    try:
        join(consumer)
        consumer.commit({partition: OffsetAndMetadata(1, "", -1)})
        wait_until(lambda: unanswered(consumer, partition), "without an answer")
        wait_until(lambda: consumer.group_metadata().generation_id < 0, "thrown out")
        admin.alter_group_offsets(f"{prefix}group", {partition: OffsetAndMetadata(7, "", -1)})

        first, *_ = read_until(consumer, bool)

        assert first.offset == 7
    finally:
        admin.close()
        consumer.close()
