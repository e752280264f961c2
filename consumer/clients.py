"""kafka-python's clients, set up the one way that keeps the promises."""

import uuid
from typing import Any

from kafka import ConsumerRebalanceListener, KafkaConsumer
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import KafkaError
from pydantic import SecretStr

from consumer import record_batch
from consumer.connection import Connection
from consumer.settings import Settings
from consumer.transactions import TransactionalProducer

# A broker that does not answer by then is asked again, and the log says so.
BOOTSTRAP_TIMEOUT_MS = 5000
RECONNECT_MAX_MS = 1000


def connection(settings: Connection) -> dict[str, Any]:
    """What every client needs to reach Kafka."""
    arguments: dict[str, Any] = {
        "bootstrap_servers": settings.servers,
        "bootstrap_timeout_ms": BOOTSTRAP_TIMEOUT_MS,
        # By default a broker that comes back after an outage is left alone for up to half a minute.
        "reconnect_backoff_max_ms": RECONNECT_MAX_MS,
        "security_protocol": settings.security_protocol,
    }
    if settings.logs_in:
        arguments |= {
            "sasl_mechanism": settings.sasl_mechanism,
            "sasl_plain_username": settings.sasl_username,
            "sasl_plain_password": _text(settings.sasl_password),
        }
    if settings.encrypts:
        # Files, not a context: kafka-python reads them for each connection, so that a certificate that was
        # renewed is used without a restart.
        arguments |= {
            "ssl_check_hostname": settings.ssl_check_hostname,
            "ssl_cafile": settings.ssl_ca_file,
            "ssl_certfile": settings.ssl_certificate_file,
            "ssl_keyfile": settings.ssl_key_file,
            "ssl_password": _text(settings.ssl_key_password),
        }
    return arguments


def _text(secret: SecretStr | None) -> str:
    # Not None for want of a key's password: OpenSSL would ask for one on the terminal.
    return secret.get_secret_value() if secret else ""


def consumer(settings: Settings) -> KafkaConsumer:
    """A consumer of the input topic that commits nothing by itself.

    Raises:
        KafkaError: Kafka cannot be reached.
    """
    record_batch.install()
    session_ms = int(settings.session_timeout_seconds * 1000)
    consumer = KafkaConsumer(
        group_id=settings.group_id,
        enable_auto_commit=False,
        auto_offset_reset="none",  # consumer.offsets does it, and says so
        isolation_level="read_committed",
        partition_assignment_strategy=[CooperativeStickyAssignor()],
        session_timeout_ms=session_ms,
        heartbeat_interval_ms=min(3000, session_ms // 3),
        max_poll_interval_ms=int(settings.max_poll_interval_seconds * 1000),
        metadata_max_age_ms=int(settings.metadata_max_age_seconds * 1000),
        allow_auto_create_topics=False,
        **connection(settings),
    )
    try:
        consumer.subscribe([settings.input_topic], listener=_Forget(consumer))
        # A group leader that joins before it knows the topic's partitions assigns none, and must rebalance.
        consumer.partitions_for_topic(settings.input_topic)
    except KafkaError:
        consumer.close()
        raise
    return consumer


def onlooker(settings: Connection) -> KafkaConsumer:
    """A consumer in no group, which reads what it is assigned and leaves no trace.

    Raises:
        KafkaError: Kafka cannot be reached.
    """
    record_batch.install()
    return KafkaConsumer(
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",  # where what it would read next has been deleted
        isolation_level="read_committed",
        allow_auto_create_topics=False,
        **connection(settings),
    )


class _Forget(ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python has no types
    """Forgets committed offsets that were asked for but not waited for, when partitions come or go.

    kafka-python would use the answer the next time that it needs them: the partition may have been another
    member's meanwhile, and its messages would be published twice.
    """

    def __init__(self, consumer: KafkaConsumer) -> None:
        self._asked = consumer._coordinator._offset_fetch_futures

    def on_partitions_assigned(self, _: object) -> None:
        self._asked.clear()

    def on_partitions_revoked(self, _: object) -> None:
        self._asked.clear()

    def on_partitions_lost(self, _: object) -> None:
        self._asked.clear()


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
