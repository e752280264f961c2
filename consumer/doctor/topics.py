"""Topics: are they there, may they be used, do they outlive a broker, and do their settings fit ours?"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import NoError, TopicAuthorizationFailedError, UnknownTopicOrPartitionError, for_code

from consumer import topics
from consumer.access import principal
from consumer.doctor import topic_settings
from consumer.doctor.finding import Finding, counted, fail, ok, skip, together, warn
from consumer.doctor.kafka import TO_SEE, Kafka
from consumer.settings import Settings

Description = Mapping[str, Any]


def check(kafka: Kafka) -> Iterator[Finding]:
    """Look at every topic that the service reads or writes."""
    needed = topics.needed(kafka.settings)
    described = {topic["name"]: topic for topic in kafka.admin.describe_topics(list(needed))}
    there = [name for name in needed if for_code(described[name]["error_code"]) is NoError]
    configurations = _configurations(there, kafka)
    for name, right in needed.items():
        yield _missing(name, right, described[name], kafka) or together(
            f"topic {name}",
            [
                ok("", f"{right} is granted"),
                *_seen(name, described[name], kafka),
                *topic_settings.check(
                    name, described[name]["partitions"], configurations.get(name), kafka.settings
                ),
            ],
        )
    if hidden := [name for name in there if name not in configurations]:
        reason = f"{principal(kafka.settings)} has no right to DESCRIBE_CONFIGS {', '.join(hidden)}"
        resource = " ".join(f"--topic {name}" for name in hidden)
        yield skip("settings of topics", reason, kafka.grant("DescribeConfigs", resource, TO_SEE))


def _missing(name: str, right: topics.Right, topic: Description, kafka: Kafka) -> Finding | None:
    """What is wrong with a topic that cannot be used, or None for one that can be."""
    check, settings = f"topic {name}", kafka.settings
    error = for_code(topic["error_code"])
    granted = topic["authorized_operations"]
    if error is TopicAuthorizationFailedError or (granted and right not in granted):
        lacks = f"{principal(settings)} has no right to {right} it"
        return fail(check, lacks, kafka.grant(right.title(), f"--topic {name}"))
    if error is UnknownTopicOrPartitionError and settings.create_topics:
        return warn(check, "there is none", "--create-topics makes it when the service starts: start it")
    if error is UnknownTopicOrPartitionError:
        return fail(check, "there is none", "create it, or start the service with --create-topics")
    return None if error is NoError else fail(check, error.__name__, "look at the brokers' logs")


def _seen(name: str, topic: Description, kafka: Kafka) -> Iterator[Finding]:
    partitions = topic["partitions"]
    yield _enough(name, len(partitions), kafka.settings)
    copies = topic_settings.copies(partitions)
    if copies == 1 and len(kafka.cluster["brokers"]) > 1:
        yield warn("", "1 copy", "a broker that is lost takes its partitions along: give it three copies")
    else:
        yield ok("", counted(copies, "copy", "copies"))
    if leaderless := topic_settings.numbers(p for p in partitions if p["leader_id"] < 0):
        yield fail("", f"no leader for partition {leaderless}", "start the brokers that hold it")
    if behind := topic_settings.numbers(
        p for p in partitions if len(p["isr_nodes"]) < len(p["replica_nodes"])
    ):
        yield warn("", f"copies of partition {behind} are away or behind", "look at the brokers")


def _enough(name: str, partitions: int, settings: Settings) -> Finding:
    found = counted(partitions, "partition")
    idle = settings.workers - partitions
    if name == settings.input_topic and idle > 0:
        return warn("", found, f"{idle} of {settings.workers} workers have nothing to do: add partitions")
    return ok("", found)


def _configurations(names: Iterable[str], kafka: Kafka) -> dict[str, dict[str, str]]:
    """The settings of the topics that show them, by name."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    shown = kafka.admin.describe_configs(resources, config_filter="all").get("topic", {}) if resources else {}
    # Kafka's word that they may not be seen is lost on the way, and there are none.
    return {
        name: {key: setting["value"] for key, setting in settings.items()}
        for name, settings in shown.items()
        if settings
    }
