"""Comment n: made from its number at any time, so that nobody has to remember what was sent."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.conftest import WORDS

PARTITIONS = 9
KEYS = 7 * PARTITIONS
BAD_EVERY = 100
NUMBER = "number"  # the header that carries it, through the dead letters too

Header = tuple[str, bytes]

# What the consumer must find no comment in, each for a reason of its own.
BAD_VALUES = (
    None,
    b'{"text": "caf\xe9"}',
    b'{"text": "cut of',
    b'["text"]',
    b'{"comment": "late again"}',
    b'{"text": ["late again"]}',
    b'{"text": " \\n"}',
)


@dataclass(frozen=True, slots=True)
class Comment:
    """A record for the input topic.

    `bad` if its place is among the dead letters; without a `partition`, its key's hash chooses one.
    """

    key: bytes | None
    value: bytes | None
    headers: Sequence[Header]
    bad: bool
    partition: int | None = None


def partition_of(number: int) -> int:
    """The input partition of a comment; all comments of a key have the same."""
    return number % KEYS % PARTITIONS


def numbered(seed: int, number: int) -> Comment:
    """Comment `number` of the stream that `seed` stands for: keyed, and one in a hundred bad."""
    key = f"key-{number % KEYS}".encode()
    headers = [("source", b"web"), number_header(number)]
    if number % BAD_EVERY == BAD_EVERY // 2:
        value = BAD_VALUES[number // BAD_EVERY % len(BAD_VALUES)]
        return Comment(key, value, headers, bad=True, partition=partition_of(number))
    draw = random.Random(f"{seed} {number}")
    text = " ".join(draw.choices(WORDS, k=draw.choice((1, 3, 8, 21))))
    value = json.dumps({NUMBER: number, "text": text}).encode()
    return Comment(key, value, headers, bad=False, partition=partition_of(number))


def number_header(number: int) -> Header:
    """The header that tells a comment from all others."""
    return NUMBER, str(number).encode()


def number_of(record: Any) -> int | None:
    """The number that a record says it has."""
    for name, value in record.headers:
        if name == NUMBER and value and value.isdigit():
            return int(value)
    return None
