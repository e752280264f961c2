"""Comments in, urgencies out: sent, followed, timed and counted."""

import contextlib
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from rich.console import Console

import finetune
from deploy.local import latency
from deploy.local.accounting import Account
from deploy.local.broker import Broker
from deploy.local.display import Display, display
from deploy.local.produce import Comment, Sender, paced, read_comments
from deploy.local.routed import RoutedTopics
from deploy.local.service import ConsumerProcess

SAMPLE = Path(finetune.__file__).with_name("sample") / "comments.tsv"

INPUT_TOPIC = "comments"
PREFIX = "comments."
SAMPLE_COMMENTS = 300
TRICKLE = 60  # of those, sent one by one
TRICKLE_RATE = 20.0  # comments a second, or half of what this machine manages if that is less
# Sent along with the sample, for the dead letters.
BAD = (
    Comment(b"bad-1", b"The parcel is late and this is not JSON"),
    Comment(b"bad-2", b'{"body": "an object without the field text"}'),
    Comment(b"bad-3", b'{"text": "   "}'),
)

SILENCE_SECONDS = 120.0  # with comments waiting and none coming out, something is broken
LINES_A_SECOND = 8


@dataclass(frozen=True)
class Result:
    """How one stretch of comments went; delays in seconds, from a comment's timestamp to its commit."""

    name: str
    comments: int
    seconds: float
    p50: float
    p99: float


def stream(
    console: Console,
    broker: Broker,
    consumer: ConsumerProcess,
    data: Path | None,
    limit: int | None,
    skipped: Counter[str],
) -> tuple[Account, list[Result]]:
    """Send the comments, show what comes out, stop the consumer, and read to the end of every topic."""
    account = Account()
    with (
        contextlib.closing(RoutedTopics(broker.bootstrap_servers, PREFIX, from_beginning=True)) as routed,
        contextlib.closing(Sender(broker.bootstrap_servers, INPUT_TOPIC)) as sender,
        display(console, routed.lanes, LINES_A_SECOND) as shown,
    ):
        stretch = _Stretch(broker, consumer, routed, sender, shown, account)
        if data is None:
            results = _sample(stretch, SAMPLE_COMMENTS if limit is None else limit, skipped)
        else:
            results = [stretch.run("all at once", islice(read_comments(data, skipped), limit), None)]
        consumer.stop()
        while not routed.at_end():
            account.come(routed.poll(0.1))
    return account, results


@dataclass(frozen=True)
class _Stretch:
    """Sends comments and follows them until each has come out."""

    broker: Broker
    consumer: ConsumerProcess
    routed: RoutedTopics
    sender: Sender
    shown: Display
    account: Account

    def run(self, name: str, comments: Iterator[Comment], rate: float | None) -> Result:
        """Send `rate` comments a second (None: as fast as can be), until each is out or all is silent."""
        before = self.consumer.delays()
        sent_before = self.account.sent
        start = time.monotonic()
        for batch in paced(comments, rate):
            self.account.send(batch)
            self.sender.send(batch)
            self._follow()
        self.sender.flush()
        last = time.monotonic()
        while self.account.waiting and time.monotonic() < last + SILENCE_SECONDS:
            if self._follow():
                last = time.monotonic()
        seconds = time.monotonic() - start
        count = self.account.sent - sent_before
        delays = latency.wait_for(self.consumer.delays, before, count, seconds=5.0)
        return Result(
            name, count, seconds, p50=latency.quantile(0.5, delays), p99=latency.quantile(0.99, delays)
        )

    def _follow(self) -> bool:
        """Show what has come out since the last call; whether something has."""
        self.broker.raise_if_dead()
        self.consumer.raise_if_dead()
        messages = self.routed.poll(0.05)
        self.account.come(messages)
        self.shown.show(messages, self.account.waiting)
        return bool(messages)


def _sample(stretch: _Stretch, count: int, skipped: Counter[str]) -> list[Result]:
    """A backlog, which shows the throughput, then a trickle, which shows the delay when nothing waits."""
    comments = islice(read_comments(SAMPLE, skipped), count)
    trickle = min(TRICKLE, count // 2)
    backlog = count - trickle
    first = stretch.run(
        f"{backlog:,} at once, and {len(BAD)} bad ones", chain(BAD, islice(comments, backlog)), None
    )
    if not trickle:
        return [first]
    rate = min(TRICKLE_RATE, first.comments / first.seconds / 2)
    second = stretch.run(f"one by one, {rate:.0f} a second", comments, rate)
    return [first, second]
