"""The consumer without transactions, to see what they cost: ``python -m tests.bench.at_least_once``."""

import sys
from collections.abc import Mapping, Sequence

from kafka import KafkaConsumer, KafkaProducer
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata, TopicPartition

from consumer import clients
from consumer.messages import Outgoing
from consumer.serve import main
from consumer.settings import Settings
from consumer.transactions import TransactionalProducer

_TRANSACTIONAL = ("transactional_id", "transaction_timeout_ms")


class AtLeastOnceProducer(TransactionalProducer):
    """Sends, flushes, and lets the consumer commit its offsets afterwards."""

    consumer: KafkaConsumer

    def connect(self) -> None:
        """Make a producer without transactions."""
        settings = {name: value for name, value in self._settings.items() if name not in _TRANSACTIONAL}
        self._producer = KafkaProducer(**settings)

    def publish(
        self,
        outgoing: Sequence[Outgoing],
        next_offsets: Mapping[TopicPartition, OffsetAndMetadata],
        membership: ConsumerGroupMetadata,
    ) -> None:
        """Publish a batch at least once."""
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
            future.get(0)
        self.consumer.commit(dict(next_offsets))


def without_transactions(arguments: list[str]) -> int:
    """Run the consumer with that producer."""
    made = AtLeastOnceProducer
    connect = clients.consumer

    def consumer(settings: Settings) -> KafkaConsumer:
        made.consumer = connect(settings)
        return made.consumer

    def producer(settings: Settings) -> TransactionalProducer:
        of_theirs = transactional(settings)
        return made(of_theirs._settings["transactional_id"], of_theirs._timeout_seconds, of_theirs._settings)

    transactional = clients.producer
    clients.consumer, clients.producer = consumer, producer
    return main(arguments)


if __name__ == "__main__":
    sys.exit(without_transactions(sys.argv[1:]))
