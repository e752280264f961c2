"""The cluster: how many brokers, and can each be reached where it says it is?"""

from collections.abc import Iterator

from consumer.doctor import brokers
from consumer.doctor.finding import Finding, counted, ok, warn
from consumer.doctor.kafka import Kafka

CHECK = "cluster"


def check(kafka: Kafka) -> Iterator[Finding]:
    """Count the brokers, and visit those that were not among the first to ask."""
    members = kafka.cluster["brokers"]
    found = f"{kafka.cluster['cluster_id']}: {counted(len(members), 'broker')}"
    if len(members) == 1:
        yield warn(CHECK, found, "with one alone, all stands still while it is away: run three in production")
    else:
        yield ok(CHECK, found)
    known = set(kafka.let_in)
    named = [
        (
            f"broker {member['broker_id']} at {member['host']}:{member['port']}",
            (member["host"], member["port"]),
        )
        for member in sorted(members, key=lambda member: int(member["broker_id"]))
        if (member["host"], member["port"]) not in known
    ]
    for visited in brokers.visit(named, kafka.settings):
        finding = visited.finding
        if visited.let_in:
            yield finding
        else:
            advice = "clients need every broker, under the name that it advertises (advertised.listeners)"
            yield Finding(finding.verdict, finding.check, finding.found, f"{finding.advice}; {advice}")
