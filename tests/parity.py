"""Real reviews through Kafka, each label against PyTorch's for that text alone.

    python -m tests.parity --checkpoint DIR --bundle DIR FILE…

Starts a broker and a consumer, sends every comment of the files, and checks that each comes out exactly once
and that its label is the one that PyTorch, in fp32 and with a batch of one, gives the same text.
"""

import argparse
import contextlib
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from deploy.local.accounting import Account
from deploy.local.broker import Broker
from deploy.local.produce import Comment, Sender, paced, read_comments
from deploy.local.progress import counting
from deploy.local.routed import DEAD_LETTER, Routed, RoutedTopics
from deploy.local.service import ConsumerProcess
from export import checkpoint, parity


def main() -> int:
    """Run the comparison; 1 if a comment is missing, came twice, or has another label than PyTorch's."""
    parser = argparse.ArgumentParser(prog="python -m tests.parity", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--checkpoint", required=True, type=Path, metavar="DIR")
    parser.add_argument("--bundle", required=True, type=Path, metavar="DIR")
    options = parser.parse_args()
    console = Console()

    account, messages, seconds = routed(options.bundle, options.files, console)
    came = ", ".join(f"{lane} {count:,}" for lane, count in sorted(account.came.items()))
    console.print(
        f"{account.sent:,} comments in, {account.came.total():,} out ({came}); {account.waiting} missing,"
        f" {account.surplus} twice; {account.sent / seconds:.1f} comments a second, exactly once, end to end"
    )
    differing = compare(options.checkpoint, messages, console)
    return 1 if account.waiting or account.surplus or differing else 0


def routed(bundle: Path, files: list[Path], console: Console) -> tuple[Account, list[Routed], float]:
    """Send the files' comments and read what comes out; also the seconds from first sent to last read."""
    account, messages = Account(), []
    with contextlib.ExitStack() as running:
        broker = running.enter_context(Broker())
        log = Path(running.enter_context(tempfile.TemporaryDirectory())) / "consumer.log"
        consumer = running.enter_context(ConsumerProcess(bundle, broker, log))
        consumer.wait_until_ready()
        topics = RoutedTopics(broker.bootstrap_servers, "comments.", from_beginning=True)
        running.enter_context(contextlib.closing(topics))
        sender = Sender(broker.bootstrap_servers, "comments")
        running.enter_context(contextlib.closing(sender))
        started = time.monotonic()
        for batch in paced(keyed(files), None):
            account.send(batch)
            sender.send(batch)
        sender.flush()
        with counting("Routed", "comments", account.sent, console) as advance:
            while account.waiting:
                consumer.raise_if_dead()
                come = topics.poll(0.5)
                account.come(come)
                messages += come
                advance(len(come))
        seconds = time.monotonic() - started
        consumer.stop()
        while not topics.at_end():
            account.come(topics.poll(0.1))
    return account, messages, seconds


def keyed(files: list[Path]) -> Iterator[Comment]:
    """The comments of all files, under keys that no two files share."""
    for file in files:
        for comment in read_comments(file, Counter()):
            yield Comment(f"{file.name}:{comment.key.decode()}".encode(), comment.value)


def compare(directory: Path, messages: list[Routed], console: Console) -> int:
    """Ask PyTorch for each text alone; how many messages have another label."""
    model = checkpoint.read(directory)
    labelled = [message for message in messages if message.lane != DEAD_LETTER]
    texts = list(dict.fromkeys(message.text for message in labelled))
    with counting("PyTorch, one text at a time", "texts", len(texts), console) as advance:
        probabilities = parity.reference(model, texts, token_budget=1, advance=advance)
    expected = dict(zip(texts, probabilities, strict=True))
    differing = [m for m in labelled if m.label != model.labels[int(expected[m.text].argmax())]]
    console.print(
        f"{len(labelled):,} labels compared with PyTorch's for the text alone: {len(differing)} differ"
    )
    for message in differing:
        console.print(f"  {message.label}, where PyTorch is split {margin(expected[message.text]):.1e}")
    return len(differing)


def margin(probabilities: NDArray[np.float32]) -> float:
    """How far the most probable label is ahead of the next."""
    second, first = np.sort(probabilities)[-2:]
    return float(first - second)


if __name__ == "__main__":
    sys.exit(main())
