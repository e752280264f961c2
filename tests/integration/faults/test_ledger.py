"""The accounting of the fault tests finds each kind of fault, and tells them apart."""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest

from tests.integration.faults.comments import Comment, number_header, numbered
from tests.integration.faults.flood import random_comment
from tests.integration.faults.ledger import Ledger
from tests.integration.faults.topics import DEAD_LETTERS, INPUT
from tests.integration.faults.traffic import longest_gap

SEED = 1
BAD = 50  # the first bad comment
SAME_KEY = (3, 66)  # two comments of one key, in their order
ROUTED = "comments.low"


def comment(number: int) -> Comment:
    """The comments of these tests."""
    return numbered(SEED, number)


def record(number: int, topic: str, **changes: Any) -> Any:
    """What a reader gets of a comment that nothing has happened to, apart from `changes`."""
    made = comment(number)
    value = made.value
    if topic == ROUTED:
        assert value is not None
        value = value[:-1] + b',"classification":{"label":"5"}}'
    elif topic == DEAD_LETTERS:
        value = value or b""
    fields = {"key": made.key, "value": value, "headers": made.headers, **changes}
    return SimpleNamespace(topic=topic, partition=0, offset=number, **fields)


def place(number: int) -> str:
    """Where a comment belongs."""
    return DEAD_LETTERS if comment(number).bad else ROUTED


def faults(
    *,
    went_in: Iterable[int] = (*SAME_KEY, BAD),
    acknowledged: Iterable[int] = (*SAME_KEY, BAD),
    out: Iterable[Any] | None = None,
) -> dict[str, list[int | str]]:
    """The faults that a ledger finds, by kind; `out` is what came out, by default all that should."""
    ledger = Ledger(comment)
    for number in acknowledged:
        ledger.acknowledge(number)
    for number in went_in:
        ledger.see(record(number, INPUT))
    for seen in [record(n, place(n)) for n in (*SAME_KEY, BAD)] if out is None else out:
        ledger.see(seen)
    verdict = ledger.verdict()
    found = {kind: list(numbers) for kind, numbers in verdict.faults.items() if numbers}
    assert bool(verdict.complaint()) == bool(found)
    return found


def all_out(*, but: int | None = None) -> list[Any]:
    """What should come out, save one."""
    return [record(number, place(number)) for number in (*SAME_KEY, BAD) if number != but]


def test_nothing_wrong_is_nothing_said() -> None:
    """When each comment went in and came out once, in its place and order, there is no complaint."""
    assert faults() == {}


@pytest.mark.parametrize("number", [SAME_KEY[0], BAD])
def test_comment_that_does_not_come_out_is_lost(number: int) -> None:
    """A comment that went in and did not come out is lost, a bad one too, and nothing else is wrong."""
    assert faults(out=all_out(but=number)) == {"lost": [number]}


@pytest.mark.parametrize("number", [*SAME_KEY, BAD])
def test_comment_that_comes_out_twice_is_duplicated(number: int) -> None:
    """A comment that comes out twice is duplicated, and not also late, though a later one came before."""
    assert faults(out=[*all_out(), record(number, place(number))]) == {"duplicated": [number]}


def test_duplicate_in_another_topic_is_duplicated() -> None:
    """The same comment in two routed topics is a duplicate."""
    twice = record(SAME_KEY[0], ROUTED)
    twice.topic = "comments.high"
    assert faults(out=[*all_out(), twice]) == {"duplicated": [SAME_KEY[0]]}


def test_comment_that_never_went_in_is_invented() -> None:
    """A message whose number never went in, or that has none, is invented."""
    nameless = record(SAME_KEY[0], ROUTED, headers=[("source", b"web")])

    assert faults(out=[*all_out(), record(77, ROUTED), nameless]) == {"invented": ["comments.low-0@3", 77]}


@pytest.mark.parametrize(
    "changes",
    [
        {"value": b'{"number": 3, "text": "other","classification":{}}'},
        {"key": b"other"},
        {"key": None},
        {"headers": [number_header(SAME_KEY[0])]},
    ],
)
def test_changed_comment_is_altered(changes: dict[str, Any]) -> None:
    """A labelled message without the comment's own value, key or headers is altered."""
    changed = record(SAME_KEY[0], ROUTED, **changes)

    assert faults(out=[changed, *all_out(but=SAME_KEY[0])]) == {"altered": [SAME_KEY[0]]}


def test_changed_dead_letter_is_altered() -> None:
    """A dead letter with other bytes than went in is altered."""
    changed = record(BAD, DEAD_LETTERS, value=b"x")

    assert faults(out=[changed, *all_out(but=BAD)]) == {"altered": [BAD]}


def test_good_comment_among_the_dead_letters_is_misplaced() -> None:
    """A good comment among the dead letters is misplaced, and so is a bad one with a label."""
    wrong = [record(SAME_KEY[0], DEAD_LETTERS), record(SAME_KEY[1], ROUTED), record(BAD, DEAD_LETTERS)]
    wrong[2].topic = ROUTED

    assert faults(out=wrong) == {"misplaced": [SAME_KEY[0], BAD]}


def test_later_comment_first_is_disordered() -> None:
    """Of two comments of a key in one topic, the earlier is out of order if it comes out last."""
    assert faults(out=reversed(all_out())) == {"disordered": [SAME_KEY[0]]}


def test_faults_before_the_consumer_are_not_the_consumers() -> None:
    """What the producer or Kafka did has names of its own: unkept, resent, jumbled."""
    first, second = SAME_KEY

    assert faults(went_in=[first, BAD], out=all_out(but=second)) == {"unkept": [second]}
    resent = faults(went_in=[*SAME_KEY, BAD, BAD], out=[*all_out(), record(BAD, DEAD_LETTERS)])
    assert resent == {"resent": [BAD]}
    assert faults(went_in=[second, first, BAD], out=all_out()) == {"jumbled": [first]}


@pytest.mark.parametrize("make", [numbered, random_comment])
def test_comment_is_made_again_from_its_number(make: Any) -> None:
    """A comment made twice from the same seed and number is the same, and another number gives another."""
    assert [make(SEED, n) for n in range(500)] == [make(SEED, n) for n in range(500)]
    assert len({str(make(SEED, n)) for n in range(500)}) == 500


def test_silence_is_the_longest_gap_with_its_edges() -> None:
    """The longest time without an arrival counts from the start and to the end of the time asked about."""
    assert longest_gap([0.0, 1.0, 5.0, 6.0, 20.0], 0.5, 7.0) == 4.0
    assert longest_gap([0.0, 10.0], 1.0, 9.0) == 8.0
    assert longest_gap([2.0], 1.0, 9.0) == 7.0
