"""The topics the consumer needs: find those missing, and make them if told to."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import NewTopic
from kafka.errors import TopicAlreadyExistsError

from consumer.errors import TopicsMissing

log = logging.getLogger(__name__)


def ensure(
    topics: Sequence[str],
    *,
    create: bool,
    partitions: int,
    replication: int,
    client_settings: Mapping[str, Any],
) -> None:
    """Make sure that every topic exists.

    Args:
        topics: names.
        create: make those missing.
        partitions: of each topic made.
        replication: replicas of each topic made, -1 for the broker's default.
        client_settings: settings of KafkaAdminClient, such as bootstrap_servers.

    Raises:
        TopicsMissing: some do not exist and `create` is false.
        KafkaError: Kafka cannot be reached or refuses.
    """
    admin = KafkaAdminClient(**client_settings)
    try:
        missing = sorted(set(topics) - set(admin.list_topics()))
        if missing and not create:
            raise TopicsMissing(f"no topic {', '.join(missing)}; create it, or pass --create-topics")
        for name in missing:
            try:
                admin.create_topics([NewTopic(name, partitions, replication)])
                log.info("made the topic %s with %d partitions", name, partitions)
            except TopicAlreadyExistsError:
                log.info("another replica made the topic %s", name)
    finally:
        admin.close()
