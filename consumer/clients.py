"""kafka-python's clients, set up the one way that keeps the promises."""

import uuid
from typing import Any

from kafka import KafkaConsumer
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

from consumer.settings import Settings
from consumer.transactions import TransactionalProducer

# A broker that does not answer by then is asked again, and the log says so.
BOOTSTRAP_TIMEOUT_MS = 5000


def connection(settings: Settings) -> dict[str, Any]:
    """What every client needs to reach Kafka."""
    servers = [server.strip() for server in settings.bootstrap_servers.split(",")]
    return {"bootstrap_servers": servers, "bootstrap_timeout_ms": BOOTSTRAP_TIMEOUT_MS}


def consumer(settings: Settings) -> KafkaConsumer:
    """A consumer of the input topic that commits nothing by itself.

    Raises:
        KafkaError: Kafka cannot be reached.
    """
    session_ms = int(settings.session_timeout_seconds * 1000)
    consumer = KafkaConsumer(
        settings.input_topic,
        group_id=settings.group_id,
        enable_auto_commit=False,
        auto_offset_reset=settings.auto_offset_reset,
        isolation_level="read_committed",
        partition_assignment_strategy=[CooperativeStickyAssignor()],
        session_timeout_ms=session_ms,
        heartbeat_interval_ms=min(3000, session_ms // 3),
        allow_auto_create_topics=False,
        **connection(settings),
    )
    # A group leader that joins before it knows the topic's partitions assigns none, and must rebalance.
    consumer.partitions_for_topic(settings.input_topic)
    return consumer


def producer(settings: Settings) -> TransactionalProducer:
    """A producer with transactions of its own name, not connected yet."""
    return TransactionalProducer(
        settings.transactional_id or f"{settings.group_id}-{uuid.uuid4()}",
        settings.transaction_timeout_seconds,
        {
            "compression_type": None if settings.compression == "none" else settings.compression,
            "allow_auto_create_topics": False,
            **connection(settings),
        },
    )
