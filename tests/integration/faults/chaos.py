"""Rounds of faults under load, and then the accounting."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.integration.faults.comments import PARTITIONS, numbered
from tests.integration.faults.faults import FAULTS
from tests.integration.faults.ledger import Ledger, Verdict
from tests.integration.faults.patience import NotSurvived
from tests.integration.faults.rig import Rig, rigged
from tests.integration.faults.topics import all_committed
from tests.integration.faults.traffic import Reader

# What a fault and its healing take on two cores; the rate follows, so that comments last till the end.
SECONDS_PER_FAULT = 20.0
SHARE_DURING_FAULTS = 0.9

Say = Callable[[str], None]


@dataclass(frozen=True)
class Survived:
    """A fault that came and went.

    silence: the longest time in which a read_committed reader saw nothing, seconds
    delay: the longest time from a comment's making to its arrival at that reader, seconds
    """

    fault: str
    silence: float
    delay: float


@dataclass(frozen=True)
class Result:
    """What a run of faults showed; `complaints` is empty if every promise was kept."""

    survived: list[Survived]
    verdict: Verdict
    complaints: list[str]


def run(directory: Path, bundle: Path, *, comments: int, rounds: int, seed: int, say: Say) -> Result:
    """Send at least so many comments while every fault strikes `rounds` times, then compare out with in.

    Order, victims and moments come from `seed`. Logs stay in `directory`.

    Raises:
        NotSurvived: something did not come back by itself.
    """
    draw = random.Random(seed)
    comment = partial(numbered, seed)
    ledger = Ledger(comment)
    rate = SHARE_DURING_FAULTS * comments / (rounds * len(FAULTS) * SECONDS_PER_FAULT)
    with rigged(directory, bundle, ledger, rate, comment) as rig:
        say(f"{len(rig.replicas)} consumers share {PARTITIONS} partitions; {rate:.0f} comments a second come")
        survived = [
            _survive(rig, fault, draw, say, f"round {number} of {rounds}")
            for number in range(1, rounds + 1)
            for fault in draw.sample(list(FAULTS), len(FAULTS))
        ]
        say("sending what is left")
        servers = rig.cluster.bootstrap_servers
        rig.producer.finish(comments)
        rig.wait_until(lambda: not rig.producer.is_alive(), "all comments are sent")
        uncommitted = _failure_to(
            rig, lambda: all_committed(servers), "the committed offsets are at the end of the input"
        )
        _read_to_the_end(rig, rig.reader)
        verdict = ledger.verdict()
        say(str(verdict))
        say("reading everything once more")
        # A reader that comes when all is over finds the same, if what was seen before was committed.
        late = Ledger(comment)
        with Reader(servers, late) as reader:
            _read_to_the_end(rig, reader)
        complaints = [uncommitted, verdict.complaint()]
        if complaint := late.verdict().complaint():
            complaints.append(f"read afterwards: {complaint}")
        complaints += _end_all(rig)
    return Result(survived, verdict, [complaint for complaint in complaints if complaint])


def _survive(rig: Rig, name: str, draw: random.Random, say: Say, when: str) -> Survived:
    rig.pause(draw.uniform(0, 2))
    start = time.monotonic()
    FAULTS[name](rig, draw)
    rig.wait_until_whole()
    end = time.monotonic()
    survived = Survived(name, rig.reader.longest_silence(start, end), rig.reader.longest_delay(start, end))
    say(
        f"{when}, {name}: survived in {end - start:.1f} s, silence {survived.silence:.1f} s,"
        f" delay {survived.delay:.1f} s; {rig.producer.sent:,} comments sent"
    )
    return survived


def _failure_to(rig: Rig, condition: Callable[[], bool], what: str) -> str:
    """Wait, and give what is to be said if that was in vain: the accounting says more."""
    try:
        rig.wait_until(condition, what)
    except NotSurvived as error:
        return str(error)
    return ""


def _read_to_the_end(rig: Rig, reader: Reader) -> None:
    reader.finish()
    rig.wait_until(lambda: not reader.is_alive(), "the reader is at the end")
    reader.raise_if_failed()


def _end_all(rig: Rig) -> list[str]:
    """Tell the consumers to stop, and give what any of the run's consumers complained of."""
    for replica in list(rig.replicas):
        rig.stop_replica(replica)
    return [f"{replica.name} logged: {error}" for replica in rig.ended for error in replica.errors()]
