"""A topic's own settings: how long it keeps messages, how large they may be, how many must have them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from consumer.doctor.finding import Finding, fail, ok, warn
from consumer.settings import Settings

DAY_MS: Final = 86_400_000
# What Kafka's record and batch take beside key, value and headers, with some room.
FRAMING_BYTES: Final = 1_000

Partition = Mapping[str, Any]


def check(
    name: str, partitions: Sequence[Partition], configuration: Mapping[str, str] | None, settings: Settings
) -> Iterator[Finding]:
    """Compare what Kafka says with what the service needs.

    Args:
        name: the topic.
        partitions: as kafka-python describes them.
        configuration: the topic's settings by Kafka's names; None where they may not be seen.
        settings: the service's.
    """
    if configuration is None:
        return
    if name == settings.input_topic:
        yield from _of_the_input(configuration)
    else:
        yield from _of_an_output(name, configuration, settings)
    yield from _in_sync(partitions, int(configuration["min.insync.replicas"]))


def copies(partitions: Sequence[Partition]) -> int:
    """How many brokers have each partition, at least."""
    return min((len(partition["replica_nodes"]) for partition in partitions), default=0)


def numbers(partitions: Iterable[Partition]) -> str:
    """The partitions' numbers, in words."""
    return ", ".join(str(partition["partition_index"]) for partition in partitions)


def _of_the_input(configuration: Mapping[str, str]) -> Iterator[Finding]:
    kept_ms = int(configuration["retention.ms"])
    if 0 <= kept_ms < DAY_MS:
        advice = "comments that wait for longer, the service being away, are lost: raise retention.ms"
        yield warn("", _kept(kept_ms), advice)
    else:
        yield ok("", _kept(kept_ms))
    if "compact" in configuration["cleanup.policy"]:
        advice = "a comment can be lost unread when another with its key comes: set cleanup.policy to delete"
        yield warn("", "compacted", advice)


def _of_an_output(name: str, configuration: Mapping[str, str], settings: Settings) -> Iterator[Finding]:
    yield _retention(int(configuration["retention.ms"]), settings)
    if "compact" in configuration["cleanup.policy"]:
        advice = (
            "of each key it keeps the last alone, and it refuses those without: set cleanup.policy to delete"
        )
        # What even the dead letters refuse ends the service.
        worse = fail if name == settings.dead_letter_topic else warn
        yield worse("", "compacted", advice)
    yield _size(int(configuration["max.message.bytes"]), settings)


def _retention(kept_ms: int, settings: Settings) -> Finding:
    oldest_ms = settings.max_timestamp_age * 1000
    if not 0 <= kept_ms <= oldest_ms:
        return ok("", _kept(kept_ms))
    advice = (
        f"results have timestamps up to {duration(oldest_ms)} old (--max-timestamp-age), and Kafka deletes by"
        " timestamp, perhaps before they are read: raise retention.ms, or lower that"
    )
    return warn("", _kept(kept_ms), advice)


def _size(largest: int, settings: Settings) -> Finding:
    found = f"messages of {largest:,} bytes at most"
    if largest >= settings.max_message_bytes + FRAMING_BYTES:
        return ok("", found)
    advice = (
        f"--max-message-bytes lets through {settings.max_message_bytes:,}, which Kafka will refuse: raise"
        f" max.message.bytes, or pass --max-message-bytes {max(1, largest - FRAMING_BYTES)}"
    )
    return warn("", found, advice)


def _in_sync(partitions: Sequence[Partition], least: int) -> Iterator[Finding]:
    found = f"min.insync.replicas {least}"
    if refusing := numbers(p for p in partitions if len(p["isr_nodes"]) < least):
        advice = "what is acknowledged by fewer is refused: start the brokers"
        yield fail("", f"{found}, and partition {refusing} has fewer", advice)
    elif 1 < copies(partitions) <= least:
        yield warn(
            "", f"{found} of all copies", "nothing can be written while one broker is away: lower it by one"
        )
    elif least == 1 and copies(partitions) > 2:
        yield warn("", found, "what one broker alone has taken is lost with it: set it to 2")
    else:
        yield ok("", found)


def _kept(milliseconds: int) -> str:
    return "kept for ever" if milliseconds < 0 else f"kept for {duration(milliseconds)}"


def duration(milliseconds: float) -> str:
    """A time in the largest unit that says it well."""
    seconds = milliseconds / 1000
    for name, length in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {name}"
    return f"{seconds:g} s"
