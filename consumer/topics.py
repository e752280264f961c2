"""The topics the consumer needs: find those missing or forbidden, and make the missing ones if told to."""

import logging
from collections.abc import Mapping
from typing import Any, Literal

from kafka import KafkaAdminClient
from kafka.admin import NewTopic
from kafka.errors import (
    NoError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)

from consumer import access, clients
from consumer.errors import TopicsMissing
from consumer.settings import Settings

log = logging.getLogger(__name__)

Right = Literal["READ", "WRITE"]

REQUEST_TIMEOUT_MS = 10_000


def needed(settings: Settings) -> dict[str, Right]:
    """What the service does with each topic, by its name."""
    written = (settings.dead_letter_topic, *settings.routed_topics)
    return {settings.input_topic: "READ", **dict.fromkeys(written, "WRITE")}


def ensure(needed: Mapping[str, Right], settings: Settings) -> None:
    """Make sure that every topic exists and may be used, or make those missing if the settings say so.

    Args:
        needed: what will be done with each topic, by its name.

    Raises:
        AccessDenied: a right is missing; the message names all that are.
        TopicsMissing: some do not exist and may not be made.
        KafkaError: Kafka cannot be reached or refuses.
    """
    admin = KafkaAdminClient(request_timeout_ms=REQUEST_TIMEOUT_MS, **clients.connection(settings))
    try:
        described = {topic["name"]: topic for topic in admin.describe_topics(list(needed))}
        forbidden = [name for name, right in needed.items() if not _allowed(described[name], right)]
        if forbidden:
            raise access.lacking(settings, [f"{needed[name]} topic {name}" for name in forbidden])
        missing = [name for name in needed if _error(described[name]) is UnknownTopicOrPartitionError]
        if missing and not settings.create_topics:
            raise TopicsMissing(f"no topic {', '.join(missing)}; create it, or pass --create-topics")
        for name in missing:
            _create(admin, name, settings)
    finally:
        admin.close()


def _allowed(topic: Mapping[str, Any], right: Right) -> bool:
    error = _error(topic)
    if error is TopicAuthorizationFailedError:
        return False
    if error not in (NoError, UnknownTopicOrPartitionError):
        raise error(topic["name"])
    # Not every service that speaks Kafka's protocol tells.
    return topic["authorized_operations"] is None or right in topic["authorized_operations"]


def _error(topic: Mapping[str, Any]) -> Any:
    return for_code(topic["error_code"])


def _create(admin: KafkaAdminClient, name: str, settings: Settings) -> None:
    try:
        admin.create_topics([NewTopic(name, settings.topic_partitions, settings.topic_replication)])
        log.info("made the topic %s with %d partitions", name, settings.topic_partitions)
    except TopicAlreadyExistsError:
        log.info("another replica made the topic %s", name)
    except TopicAuthorizationFailedError:
        raise access.lacking(settings, [f"CREATE topic {name}"]) from None
