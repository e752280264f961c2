"""What the log tells of the work: a line at debug level for each batch committed, one at info level a minute.

Each has the same in fields, for who reads the log by machine.
"""

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from consumer.classifier import Work
from consumer.messages import Outgoing

log = logging.getLogger(__name__)

# A line for each of hundreds of batches a second would drown all others.
EVERY_SECONDS = 60.0


class Progress:
    """Counts what has committed, and tells it."""

    def __init__(self) -> None:
        self._begin()

    def committed(
        self, records: Sequence[Any], outgoing: Sequence[Outgoing], stages: Mapping[str, float], work: Work
    ) -> None:
        """Take in a batch that has committed.

        Args:
            records: what was read.
            outgoing: what was published for each.
            stages: how long each stage took, seconds.
            work: what it was to the model.
        """
        urgencies = Counter(one.urgency for one in outgoing if one.urgency is not None)
        reasons = Counter(one.reason for one in outgoing if one.reason is not None)
        self._batches += 1
        self._urgencies += urgencies
        self._reasons += reasons
        if not log.isEnabledFor(logging.DEBUG):
            return
        partitions = _partitions(records)
        versions = sorted({one.model_version for one in outgoing if one.model_version is not None})
        batch = {
            "messages": len(records),
            "partitions": partitions,
            "urgencies": urgencies,
            "dead_letters": reasons,
            "seconds": {stage: round(seconds, 6) for stage, seconds in stages.items()},
            "micro_batches": work.micro_batches,
            "tokens": work.tokens,
            "model_version": ", ".join(versions) or None,
        }
        read = (
            f"{p['topic']}-{p['partition']} {p['first_offset']} to {p['last_offset']}" for p in partitions
        )
        took = (f"{stage} {seconds:.3f} s" for stage, seconds in stages.items())
        log.debug(
            "committed %d messages: %s; %s; %s; %d micro-batches, %d tokens; model %s",
            len(records),
            ", ".join(read),
            _counts(urgencies, reasons),
            ", ".join(took),
            work.micro_batches,
            work.tokens,
            batch["model_version"] or "not asked",
            extra={"fields": {"batch": batch}},
        )

    def tell(self, lag: int | None = None, *, at_once: bool = False) -> None:
        """Log what has committed since it was told last, if anything has and that is a minute ago.

        Args:
            lag: messages that wait in the assigned partitions, where that is known.
            at_once: do not wait for the minute.
        """
        seconds = time.monotonic() - self._since
        if seconds < EVERY_SECONDS and not at_once:
            return
        if self._batches:
            messages = self._urgencies.total() + self._reasons.total()
            progress = {
                "seconds": round(seconds, 3),
                "messages": messages,
                "batches": self._batches,
                "urgencies": self._urgencies,
                "dead_letters": self._reasons,
                "lag": lag,
            }
            log.info(
                "committed %d messages in %.0f s: %s%s",
                messages,
                seconds,
                _counts(self._urgencies, self._reasons),
                "" if lag is None else f"; {lag} wait",
                extra={"fields": {"progress": progress}},
            )
        self._begin()

    def _begin(self) -> None:
        self._since = time.monotonic()
        self._batches = 0
        self._urgencies: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()


def _partitions(records: Sequence[Any]) -> list[dict[str, Any]]:
    """What was read of each partition."""
    partitions: dict[tuple[str, int], dict[str, Any]] = {}
    for record in records:
        partition = partitions.setdefault(
            (record.topic, record.partition),
            {
                "topic": record.topic,
                "partition": record.partition,
                "first_offset": record.offset,
                "messages": 0,
            },
        )
        partition["last_offset"] = record.offset
        partition["messages"] += 1
    return list(partitions.values())


def _counts(urgencies: Counter[str], reasons: Counter[str]) -> str:
    counts = [f"{urgency} {count}" for urgency, count in sorted(urgencies.items())]
    return ", ".join([*counts, *([f"dead letters {reasons.total()}"] if reasons else [])])
