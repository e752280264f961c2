"""What went in against what came out: where they differ, and in which way."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.integration.faults.comments import Comment, number_of
from tests.integration.faults.topics import DEAD_LETTERS, INPUT

LABELLED_ENDS = b',"classification":{'


@dataclass(frozen=True)
class Verdict:
    """What was counted, and under `faults` the numbers of comments by what is wrong with them.

    Faults of the consumer:
        lost: went in, and never came out
        duplicated: came out more often than it went in
        invented: came out and never went in (or where, if it has no number)
        altered: came out with another key, value or header than it went in with
        misplaced: a good comment among the dead letters, or a bad one with a label
        disordered: came out after a later comment of the same key in the same topic
    Of the test's producer or of Kafka, which make the rest worth nothing:
        unkept: acknowledged, and not in the input topic
        resent: in the input topic twice
        jumbled: in the input topic after a later comment of its key
    """

    went_in: int
    labelled: int
    dead_letters: int
    faults: Mapping[str, Sequence[int | str]]

    def __str__(self) -> str:
        counts = ", ".join(f"{len(numbers):,} {kind}" for kind, numbers in self.faults.items())
        return (
            f"{self.went_in:,} in, {self.labelled:,} labelled and {self.dead_letters:,} dead letters out: "
            f"{counts}"
        )

    def complaint(self) -> str:
        """Every kind of fault that there is, with how many and the first of them; empty for none."""
        return "; ".join(
            f"{len(numbers):,} {kind}: {', '.join(map(str, numbers[:5]))}{', …' if numbers[5:] else ''}"
            for kind, numbers in self.faults.items()
            if numbers
        )


@dataclass
class _Order:
    """Comments that come after a later one of the same lane and key."""

    late: list[int] = field(default_factory=list)
    _last: dict[tuple[str, bytes], int] = field(default_factory=dict)

    def come(self, topic: str, key: bytes | None, number: int) -> None:
        if key is None:
            return
        if number < self._last.get((topic, key), -1):
            self.late.append(number)
        else:
            self._last[topic, key] = number


class Ledger:
    """Holds a few bytes a comment: a million fit. Acknowledge on one thread, and see on one other."""

    def __init__(self, comment: Callable[[int], Comment]) -> None:
        """Nothing has happened yet; `comment` makes a comment again, to compare with what came out."""
        self._comment = comment
        self._acknowledged = _Counts()
        self._in = _Counts()
        self._out = _Counts()
        self._in_order = _Order()
        self._out_order = _Order()
        self._nameless: list[int | str] = []
        self._altered: list[int] = []
        self._misplaced: list[int] = []
        self.dead_letters = 0

    @property
    def acknowledged(self) -> int:
        """Comments that Kafka has acknowledged."""
        return self._acknowledged.total

    @property
    def went_in(self) -> int:
        """Records seen in the input topic."""
        return self._in.total

    @property
    def came_out(self) -> int:
        """Records seen in the routed topics and the dead letters."""
        return self._out.total

    def acknowledge(self, number: int) -> None:
        """Kafka has promised to keep the comment."""
        self._acknowledged.add(number)

    def see(self, record: Any) -> int | None:
        """Book a record read from the input topic, a routed one or the dead letters; give its number."""
        number = number_of(record)
        if number is None:
            self._nameless.append(f"{record.topic}-{record.partition}@{record.offset}")
        elif record.topic == INPUT:
            if self._in.add(number) == 1:
                self._in_order.come(record.topic, record.key, number)
        else:
            self._see_output(number, record)
        return number

    def _see_output(self, number: int, record: Any) -> None:
        dead = record.topic == DEAD_LETTERS
        self.dead_letters += dead
        comment = self._comment(number)
        # A second copy is a duplicate, and must not be called late as well.
        if self._out.add(number) == 1:
            self._out_order.come(record.topic, record.key, number)
        if dead != comment.bad:
            self._misplaced.append(number)
        elif not _kept(comment, record, dead):
            self._altered.append(number)

    def verdict(self) -> Verdict:
        """What is wrong with what was seen so far: ask when all is over."""
        numbers = range(max(map(len, (self._acknowledged, self._in, self._out))))
        acknowledged, went_in, out = self._acknowledged, self._in, self._out
        return Verdict(
            went_in=went_in.total,
            labelled=out.total - self.dead_letters,
            dead_letters=self.dead_letters,
            faults={
                "lost": [n for n in numbers if out[n] < went_in[n]],
                "duplicated": [n for n in numbers if out[n] > went_in[n] > 0],
                "invented": [*self._nameless, *(n for n in numbers if out[n] and not went_in[n])],
                "altered": self._altered,
                "misplaced": self._misplaced,
                "disordered": self._out_order.late,
                "unkept": [n for n in numbers if acknowledged[n] and not went_in[n]],
                "resent": [n for n in numbers if went_in[n] > 1],
                "jumbled": self._in_order.late,
            },
        )


def _kept(comment: Comment, record: Any, dead: bool) -> bool:
    """Whether the record still holds the comment's own key, value and headers."""
    value = record.value or b""
    if dead:
        intact = value == (comment.value or b"")
    else:
        own = (comment.value or b"").rstrip()[:-1]
        intact = value.startswith(own + LABELLED_ENDS)
    own_headers = list(comment.headers)
    return intact and record.key == comment.key and list(record.headers)[: len(own_headers)] == own_headers


class _Counts:
    """How often each number was met, a byte each."""

    def __init__(self) -> None:
        self.total = 0
        self._counts = bytearray()

    def add(self, number: int) -> int:
        """Count once more, and give the count."""
        if number >= len(self._counts):
            self._counts.extend(bytes(number + 1 - len(self._counts)))
        self.total += 1
        self._counts[number] = min(255, self._counts[number] + 1)
        return self._counts[number]

    def __getitem__(self, number: int) -> int:
        return self._counts[number] if number < len(self._counts) else 0

    def __len__(self) -> int:
        return len(self._counts)
