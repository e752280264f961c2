"""One batch = one Kafka transaction: its results, its dead letters and its input offsets, or nothing."""

from collections.abc import Mapping, Sequence
from typing import Any

from kafka import KafkaProducer
from kafka.errors import AuthorizationError, KafkaError
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata, TopicPartition

from consumer.errors import TransactionFailed
from consumer.messages import Outgoing

# Large batches make a send 2 to 3 times cheaper; a flush ends the linger, so it delays nothing.
BATCH_BYTES = 262_144
LINGER_MS = 20
# A dead letter carries a value that was within the broker's limit plus the headers that say why, so the
# client's own limit must not be what refuses it.
MAX_REQUEST_BYTES = 64 * 1024 * 1024


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

    def publish(
        self,
        outgoing: Sequence[Outgoing],
        next_offsets: Mapping[TopicPartition, int],
        membership: ConsumerGroupMetadata,
    ) -> None:
        """Publish a batch exactly once.

        1. Begin.
        2. Send every record.
        3. Flush, and look at each record's fate: the client would commit though records were lost.
        4. Add the input offsets under the group membership they were read with, so that the broker refuses
           them from a member that has lost its partitions.
        5. Commit.

        Args:
            outgoing: what to publish, in order.
            next_offsets: per input partition, the offset after the last record of the batch.
            membership: the consumer's group metadata when the batch was read.

        Raises:
            TransactionFailed: some step failed; call `connect` before anything else.
            AuthorizationError: a right is missing, so trying again would not help.
        """
        # After an expired session the generation is -1, and the broker does not fence such a commit.
        if membership.generation_id < 0:
            raise TransactionFailed("the batch was read outside a group membership")
        try:
            self._producer.begin_transaction()
            sent = [
                self._producer.send(
                    record.topic,
                    value=record.value,
                    key=record.key,
                    headers=record.headers,
                    timestamp_ms=record.timestamp,
                )
                for record in outgoing
            ]
            self._producer.flush(self._timeout_seconds)
            for future in sent:
                future.get(timeout=0)
            offsets = {
                partition: OffsetAndMetadata(offset, "", -1) for partition, offset in next_offsets.items()
            }
            self._producer.send_offsets_to_transaction(offsets, membership)
            self._producer.commit_transaction()
        except AuthorizationError:
            raise
        except KafkaError as error:
            raise TransactionFailed(f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Let go of the producer; what it holds was committed or does not count."""
        if self._producer is None:
            return
        producer, self._producer = self._producer, None
        try:
            producer.close(timeout=0)
        except KafkaError:
            # close() flushes first and gives up there if records are pending, with its thread still running.
            producer._sender.force_close()
