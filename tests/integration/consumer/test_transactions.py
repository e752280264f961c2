"""One batch, one transaction."""

import threading
import time

import pytest
from kafka.structs import ConsumerGroupMetadata

from consumer.errors import TransactionFailed
from consumer.messages import Outgoing
from consumer.transactions import TransactionalProducer
from deploy.local.broker import Broker
from tests.integration.conftest import Kafka

OUTSIDE_A_GROUP = ConsumerGroupMetadata("group")


def outgoing(topic: str) -> Outgoing:
    """A record to publish."""
    return Outgoing(topic, b"key", b"value", [], None)


def test_batch_read_outside_a_membership_is_not_published(kafka: Kafka, prefix: str) -> None:
    """Without a group generation, which the broker would not fence, nothing is published."""
    kafka.create_topics(f"{prefix}high")
    producer = TransactionalProducer(f"{prefix}id", 5.0, {"bootstrap_servers": kafka.bootstrap_servers})
    producer.connect()

    with pytest.raises(TransactionFailed, match="outside a group membership"):
        producer.publish([outgoing(f"{prefix}high")], {}, OUTSIDE_A_GROUP)

    producer.close()
    assert kafka.read(f"{prefix}high", count=1, seconds=1.0) == []


def test_abandoned_producer_lets_go_of_its_thread(prefix: str) -> None:
    """A producer closed with records that Kafka never takes ends its thread all the same."""
    with Broker() as broker:
        Kafka(broker.bootstrap_servers).create_topics(f"{prefix}high")
        producer = TransactionalProducer(f"{prefix}id", 5.0, {"bootstrap_servers": broker.bootstrap_servers})
        before = set(threading.enumerate())
        producer.connect()
        abandoned = set(threading.enumerate()) - before
        assert abandoned
        producer._producer.begin_transaction()
        producer._producer.partitions_for(f"{prefix}high")
        broker.kill()
        producer._producer.send(f"{prefix}high", b"value")

        producer.close()

        deadline = time.monotonic() + 10
        while any(thread.is_alive() for thread in abandoned):
            assert time.monotonic() < deadline, f"still running: {abandoned}"
            time.sleep(0.01)
