"""Is this machine's clock Kafka's? Delays, timestamps that count as old, and certificates hang on it.

Kafka's protocol has no request for the time. One answer holds it by the way: of the quorum that keeps the
cluster's metadata, the leader says when each member had caught up, and of itself, that this is now.
"""

import time
from collections.abc import Iterator
from typing import Final

from kafka import TopicPartition
from kafka.errors import KafkaError
from kafka.protocol.consumer.offsets import OffsetSpec

from consumer.doctor.finding import Finding, fail, ok, skip, warn
from consumer.doctor.kafka import TO_SEE, Kafka

CHECK = "clock"
ADVICE = "set both by NTP (timedatectl, chronyc tracking)"
NOTICED_SECONDS: Final = 2.0
# From here on what is new looks old, or what is old new.
WRONG_SECONDS: Final = 300.0


def check(kafka: Kafka) -> Iterator[Finding]:
    """Compare the clocks, or look for messages from the future where Kafka does not tell its time."""
    try:
        ahead = _kafka_ahead(kafka)
    except KafkaError as error:
        yield _future(kafka, error)
        return
    if abs(ahead) < NOTICED_SECONDS:
        yield ok(CHECK, f"within {NOTICED_SECONDS:g} s of Kafka's")
        return
    found = f"{abs(ahead):,.0f} s {'behind' if ahead > 0 else 'ahead of'} Kafka's"
    yield (fail if abs(ahead) >= WRONG_SECONDS else warn)(CHECK, found, ADVICE)


def _kafka_ahead(kafka: Kafka) -> float:
    """How far Kafka's clock is ahead of ours, at least, in seconds: 0 if both can be the same.

    Raises:
        KafkaError: Kafka does not tell.
    """
    before = time.time()
    ((partition,),) = (topic["partitions"] for topic in kafka.admin.describe_metadata_quorum()["topics"])
    after = time.time()
    caught_up = {
        voter["replica_id"]: voter.get("last_caught_up_timestamp", -1)
        for voter in partition["current_voters"]
    }
    now = caught_up.get(partition["leader_id"], -1) / 1000
    if now < 0:
        raise KafkaError(partition["error"] or "it is too old for that")
    return float(max(0.0, now - after) or min(0.0, now - before))


def _future(kafka: Kafka, refusal: KafkaError) -> Finding:
    topic = kafka.settings.input_topic
    newest = _newest(kafka)
    if newest is not None and newest >= NOTICED_SECONDS:
        found = f"the newest message of {topic} is from {newest:,.0f} s in the future"
        return warn(CHECK, found, f"this machine's clock is behind, or a sender's is ahead: {ADVICE}")
    seen = "" if newest is None else f"; no message of {topic} is from the future"
    reason = f"only who may DESCRIBE the cluster is told Kafka's time ({type(refusal).__name__}){seen}"
    return skip(CHECK, reason, kafka.grant("Describe", "--cluster", TO_SEE))


def _newest(kafka: Kafka) -> float | None:
    """How far the latest timestamp in the input topic is ahead of now, seconds; None if that is not known."""
    try:
        (topic,) = kafka.admin.describe_topics([kafka.settings.input_topic])
        asked = {
            TopicPartition(topic["name"], partition["partition_index"]): OffsetSpec.MAX_TIMESTAMP
            for partition in topic["partitions"]
        }
        found = kafka.admin.list_partition_offsets(asked).values()
        return max((at.timestamp / 1000 - time.time() for at in found), default=None)
    except KafkaError:
        return None
