"""The brokers' own limits that the service's settings must keep to."""

from collections.abc import Iterator

from kafka.admin import ConfigResource, ConfigResourceType

from consumer.access import principal
from consumer.connection import flag
from consumer.doctor.finding import Finding, fail, ok, skip, together
from consumer.doctor.kafka import TO_SEE, Kafka

CHECK = "limits of the brokers"
# Kafka's setting, ours that it bounds, and whether from below.
LIMITS = (
    ("transaction.max.timeout.ms", "transaction_timeout_seconds", False),
    ("group.max.session.timeout.ms", "session_timeout_seconds", False),
    ("group.min.session.timeout.ms", "session_timeout_seconds", True),
)


def check(kafka: Kafka) -> Iterator[Finding]:
    """Compare timeouts with what a broker allows."""
    broker = str(kafka.cluster["brokers"][0]["broker_id"])
    asked = [ConfigResource(ConfigResourceType.BROKER, broker)]
    shown = kafka.admin.describe_configs(asked, config_filter="all").get("broker", {}).get(broker)
    if not shown:
        reason = f"{principal(kafka.settings)} has no right to DESCRIBE_CONFIGS the cluster"
        yield skip(CHECK, reason, kafka.grant("DescribeConfigs", "--cluster", TO_SEE))
        return
    yield together(
        CHECK,
        [
            _limit(kafka, limit, name, below, shown[limit]["value"])
            for limit, name, below in LIMITS
            if limit in shown
        ],
    )


def _limit(kafka: Kafka, limit: str, name: str, below: bool, value: str) -> Finding:
    ours, theirs = 1000 * getattr(kafka.settings, name), int(value)
    found = f"{limit} {theirs:,}"
    if ours < theirs if below else ours > theirs:
        side = "below" if below else "above"
        return fail(
            CHECK, found, f"{flag(name)} {ours / 1000:g} is {side} it, and Kafka will refuse: correct one"
        )
    return ok(CHECK, found)
