"""A message of a routed topic, as a subscriber reads it; and as a line to show."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from consumer import json_object, terminal
from consumer.errors import BadMessage
from consumer.messages import CLASSIFICATION
from consumer.tail.settings import TailSettings

# Most urgent first; the next ones start again.
COLOURS = (
    terminal.RED,
    terminal.YELLOW,
    terminal.GREEN,
    terminal.CYAN,
    terminal.BLUE,
    terminal.MAGENTA,
)


@dataclass(frozen=True, slots=True)
class Routed:
    """A labelled message; `timestamp` is in milliseconds since 1970, `value` its JSON as it came."""

    timestamp: int
    urgency: str
    label: str
    confidence: float
    text: str
    value: bytes


def routed(record: Any, text_field: str) -> Routed | None:
    """Read a labelled message, or give None for what the service cannot have written.

    Args:
        record: a `kafka.consumer.fetcher.ConsumerRecord`.
        text_field: the field that holds the comment; if it has none, `text` does.
    """
    try:
        document = json_object.parse(record.value or b"")
        classification = document[CLASSIFICATION]
        text = document.get(text_field, document.get("text"))
        return Routed(
            record.timestamp,
            str(classification["urgency"]),
            str(classification["label"]),
            float(classification["confidence"]),
            text if isinstance(text, str) else "",
            record.value,
        )
    except (BadMessage, LookupError, TypeError, ValueError, AttributeError):
        return None


def wanted(message: Routed, settings: TailSettings) -> bool:
    """Whether a message is among those asked for."""
    return (
        message.urgency in settings.urgencies
        and settings.min_confidence <= message.confidence <= settings.max_confidence
        and settings.grep.casefold() in message.text.casefold()
    )


def line(
    message: Routed, routes: Mapping[str, tuple[str, ...]], columns: int | None, *, colours: bool
) -> str:
    """Local time, urgency, label, confidence, and of the text what fits.

    Args:
        message: what to show, of one of the routes.
        routes: each urgency's labels, most urgent first.
        columns: how long the line may be; None takes the whole text.
        colours: paint the urgency.
    """
    urgencies = list(routes)
    urgency = f"{message.urgency:<{max(map(len, urgencies))}}"
    label_columns = max(len(label) for labels in routes.values() for label in labels)
    label = f"{terminal.harmless(message.label):<{label_columns}}"
    rest = f"{label} {message.confidence:4.0%} {terminal.harmless(message.text)}"
    before = time.strftime("%m-%d %H:%M:%S ", time.localtime(message.timestamp / 1000))
    fitting = None if columns is None else columns - len(before) - len(urgency) - 1
    if colours:
        urgency = terminal.painted(urgency, COLOURS[urgencies.index(message.urgency) % len(COLOURS)])
    return f"{before}{urgency} {terminal.cut(rest, fitting)}"
