"""One batch = one Kafka transaction: its results, its dead letters and its input offsets, or nothing."""

import contextlib
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from kafka import KafkaProducer
from kafka.errors import (
    AuthorizationError,
    InvalidRecordError,
    InvalidTimestampError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    UnknownError,
    UnknownTopicOrPartitionError,
    for_code,
)
from kafka.protocol.metadata import MetadataRequest
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata, TopicPartition

from consumer.errors import RecordsRefused, TransactionFailed
from consumer.messages import Outgoing
from consumer.offsets import REQUEST_TIMEOUT_MS

# Large batches make a send 2 to 3 times cheaper; a flush ends the linger, so it delays nothing.
BATCH_BYTES = 262_144
LINGER_MS = 20
# A dead letter carries a value that was within the broker's limit plus the headers that say why, so the
# client's own limit must not be what refuses it.
MAX_REQUEST_BYTES = 64 * 1024 * 1024
TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
# What Kafka says of a record itself, so that sending it again cannot help.
REFUSALS = (*TOO_LARGE, InvalidTimestampError, InvalidRecordError)


class TransactionalProducer:
    """Publishes batches, each in a transaction.

    After a failure the producer inside may still hold the failed transaction's offsets, may have bumped its
    epoch, or may refuse everything with a plain KafkaError. So it is never reused: `connect` makes a new one,
    whose init_transactions ends what the old one left open.
    """

    def __init__(
        self, transactional_id: str, timeout_seconds: float, client_settings: Mapping[str, Any]
    ) -> None:
        """Prepare, without connecting.

        Args:
            transactional_id: name of this replica's transactions, of no other replica at the same time.
            timeout_seconds: after which the broker aborts an open transaction, seconds.
            client_settings: further settings of KafkaProducer, such as bootstrap_servers.
        """
        # Records must be given up before the broker gives up their transaction.
        delivery_ms = int(timeout_seconds * 1000)
        self._settings = {
            **client_settings,
            "transactional_id": transactional_id,
            "transaction_timeout_ms": delivery_ms,
            "delivery_timeout_ms": delivery_ms,
            "request_timeout_ms": delivery_ms // 2,
            "max_block_ms": delivery_ms,
            "acks": "all",
            "batch_size": BATCH_BYTES,
            "linger_ms": LINGER_MS,
            "max_request_size": MAX_REQUEST_BYTES,
        }
        self._timeout_seconds = timeout_seconds
        self._producer: Any = None

    def connect(self) -> None:
        """Make a new producer and end every transaction that an earlier one left open.

        Raises:
            KafkaError: Kafka cannot be reached or refuses.
        """
        self.close()
        self._producer = KafkaProducer(**self._settings)
        self._producer.init_transactions()

    def topic_id(self, topic: str) -> str:
        """Ask Kafka for a topic's id as it is now, empty where there is no such topic.

        Asked here and not through the consumer, whose connection Kafka blocks for half a second whenever a
        fetch finds nothing to read.

        Raises:
            KafkaError: Kafka does not answer, or refuses.
        """
        manager = self._producer._sender._client._manager
        request = MetadataRequest(
            topics=[MetadataRequest.MetadataRequestTopic(name=topic)], allow_auto_topic_creation=False
        )
        asked, answered = manager.call_soon(manager.send, request), threading.Event()
        asked.add_both(lambda _: answered.set())
        if not answered.wait(REQUEST_TIMEOUT_MS / 1000):
            raise KafkaTimeoutError(f"Kafka did not say in time which topic {topic} is")
        if asked.failed():
            raise asked.exception
        (answer,) = asked.value.topics
        if answer.error_code == UnknownTopicOrPartitionError.errno:
            return ""
        if answer.error_code:
            raise for_code(answer.error_code)(topic)
        return str(answer.topic_id)

    def publish(
        self,
        outgoing: Sequence[Outgoing],
        next_offsets: Mapping[TopicPartition, OffsetAndMetadata],
        membership: ConsumerGroupMetadata,
    ) -> float:
        """Publish a batch exactly once.

        1. Begin.
        2. Send every record.
        3. Flush, and look at each record's fate: the client would commit though records were lost.
        4. Add the input offsets under the group membership they were read with, so that the broker refuses
           them from a member that has lost its partitions.
        5. Commit.

        All of it together takes `timeout_seconds` at most: after that the broker aborts it anyway.

        Args:
            outgoing: what to publish, in order.
            next_offsets: per input partition, the offset after the last record of the batch.
            membership: the consumer's group metadata when the batch was read.

        Returns:
            When step 3 was done, as `time.monotonic` counts.

        Raises:
            RecordsRefused: some records can never be published; call `connect`, then publish others for them.
            TransactionFailed: some step failed; call `connect` before anything else.
            AuthorizationError: a right is missing, so trying again would not help.
        """
        # After an expired session the generation is -1, and the broker does not fence such a commit.
        if membership.generation_id < 0:
            raise TransactionFailed("the batch was read outside a group membership")
        deadline = time.monotonic() + self._timeout_seconds
        try:
            self._producer.begin_transaction()
            self._send(outgoing, deadline)
            sent_at = time.monotonic()
            self._await(
                self._producer._transaction_manager.send_offsets_to_transaction(next_offsets, membership),
                deadline,
            )
            self._await(self._producer._transaction_manager.begin_commit(), deadline)
        except AuthorizationError:
            raise
        except KafkaError as error:
            raise TransactionFailed(f"{type(error).__name__}: {error}") from error
        return sent_at

    def _send(self, outgoing: Sequence[Outgoing], deadline: float) -> None:
        sent: list[Any] = []
        failed: list[int] = []
        ended: KafkaError | None = None
        for index, record in enumerate(outgoing):
            try:
                future = self._producer.send(
                    record.topic,
                    value=record.value,
                    key=record.key,
                    headers=record.headers,
                    timestamp_ms=record.timestamp,
                )
            except MessageSizeTooLargeError as error:
                raise RecordsRefused(_refused(outgoing, {index: error})) from error
            except KafkaError as error:
                # A record sent before has already ended the transaction: its own future says how.
                ended = error
                break
            future.add_errback(lambda _, index=index: failed.append(index))
            sent.append(future)
        # It raises UnknownError over a batch that is split because Kafka found it too large.
        with contextlib.suppress(UnknownError):
            self._producer.flush(max(0.0, deadline - time.monotonic()))
        for future in sent:
            if future.succeeded():
                continue
            try:
                future.get(timeout=max(0.0, deadline - time.monotonic()))
            except KafkaError as error:
                ended = ended or error
        if failed:
            # Only what failed first is sure to have failed by itself: that ends the transaction, and with its
            # error kafka-python fails whatever has not been sent yet.
            batch = sent[failed[0]]._produce_future
            errors = {i: sent[i].exception for i in failed if sent[i]._produce_future is batch}
            ended = errors[failed[0]]
            if refused := _refused(outgoing, errors):
                raise RecordsRefused(refused)
        if ended:
            raise ended

    def _await(self, result: Any, deadline: float) -> None:
        """Wait for a request of the transaction: the producer's own methods wait for ever."""
        self._producer._sender.wakeup()
        if not result.wait(timeout_ms=max(0.0, deadline - time.monotonic()) * 1000):
            raise KafkaTimeoutError("the transaction's coordinator did not answer in time")

    def close(self) -> None:
        """Let go of the producer; what it holds was committed or does not count."""
        if self._producer is None:
            return
        producer, self._producer = self._producer, None
        let_go(producer)


def let_go(producer: KafkaProducer) -> None:
    """Close a producer at once, whatever it has not sent yet."""
    try:
        producer.close(timeout=0)
    except KafkaError:
        # close() flushes first and gives up there if records are pending, with its thread still running.
        producer._sender.force_close()


def _refused(outgoing: Sequence[Outgoing], errors: Mapping[int, KafkaError]) -> dict[int, str]:
    """Per index, Kafka's word for each record that it refuses, or would refuse.

    One refusal ends the transaction, so those that would follow it show no error yet. Of a topic that has
    refused a record for its size, no larger one is tried: a batch full of them would take a transaction for
    each.
    """
    refused = {index: type(error).__name__ for index, error in errors.items() if isinstance(error, REFUSALS)}
    limits: dict[str, int] = {}
    for index, error in errors.items():
        if isinstance(error, TOO_LARGE):
            topic, size = outgoing[index].topic, outgoing[index].size
            limits[topic] = min(size, limits.get(topic, size))
    for index, record in enumerate(outgoing):
        if record.topic in limits and record.size >= limits[record.topic]:
            refused.setdefault(index, MessageSizeTooLargeError.__name__)
    return refused
