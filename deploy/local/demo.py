"""The whole path on this machine: broker, fine-tuning, export, consumer, comments in, urgencies out."""

import contextlib
import hashlib
import os
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from deploy.local import children
from deploy.local.accounting import Account
from deploy.local.broker import Broker
from deploy.local.errors import DemoFailed
from deploy.local.jars import kafka_jars
from deploy.local.produce import read_comments
from deploy.local.progress import waiting
from deploy.local.routed import DEAD_LETTER
from deploy.local.service import ConsumerProcess
from deploy.local.stream import SAMPLE, Result, stream
from finetune.data import TEXT_COLUMN

# The sample is 780 short comments, as many of each label: six times through them take three minutes on two
# cores, and they stand twice the default rate, at which real reviews, mostly five stars, teach nothing.
FINETUNE_OPTIONS = ("--epochs", "6", "--learning-rate", "2e-4", "--max-length", "128")
EXPORT_OPTIONS = ("--name", "stars-sample")
STEPS = 6
DELAYS = "p50, p99: half, and 99 in 100, were published within that time of being sent"


def demo(data: Path | None, limit: int | None, directory: Path) -> None:
    """Run the demo on the sample, or on the user's file `data`; models and logs are kept in `directory`.

    Raises `LocalError` if a step fails or a comment does not come out exactly once, and
    `finetune.errors.DataError` if `data` cannot be read.
    """
    if data is not None and next(read_comments(data, Counter()), None) is None:
        raise DemoFailed(f"{data} holds no comment: give a file with text in its column {TEXT_COLUMN}.")
    console = Console()
    directory.mkdir(parents=True, exist_ok=True)
    _say(console, 1, "A real Apache Kafka on this machine")
    kafka_jars()
    with contextlib.ExitStack() as running:
        broker = Broker()
        with waiting("Starting the broker", console):
            running.enter_context(broker)
        console.print(f"The broker listens on {broker.bootstrap_servers}.", highlight=False)
        _say(console, 2, "Fine-tune BERT on the sample comments")
        checkpoint = _fine_tuned(console, directory)
        _say(console, 3, "Export it to a bundle for the consumer")
        bundle = _exported(console, directory, checkpoint)
        _say(console, 4, "Start the consumer")
        consumer = running.enter_context(ConsumerProcess(bundle, broker, directory / "consumer.log"))
        with waiting("Waiting until it has proved its model and joined", console):
            consumer.wait_until_ready()
        _say(console, 5, "Comments in, urgencies out")
        skipped: Counter[str] = Counter()
        account, results = stream(console, broker, consumer, data, limit, skipped)
    _say(console, 6, "What happened")
    _summary(console, account, results, skipped)
    _require_exactly_once(account)
    _what_next(console, bundle)


def _say(console: Console, number: int, what: str) -> None:
    # Fine-tuning and export number their own steps: these look different.
    console.print(f"\n[bold]Step {number} of {STEPS} · {what}[/bold]", highlight=False)


def _fine_tuned(console: Console, directory: Path) -> Path:
    checkpoint = directory / "checkpoint"
    command = "finetune", "--data", str(SAMPLE), "--output", str(checkpoint), *FINETUNE_OPTIONS
    recipe = f"{hashlib.sha256(SAMPLE.read_bytes()).hexdigest()} {' '.join(FINETUNE_OPTIONS)}"
    _make(console, checkpoint / "training.json", recipe, command)
    return checkpoint


def _exported(console: Console, directory: Path, checkpoint: Path) -> Path:
    bundle = directory / "bundle"
    command = "export", str(checkpoint), "--output", str(bundle), *EXPORT_OPTIONS
    trained = hashlib.sha256((checkpoint / "training.json").read_bytes()).hexdigest()
    recipe = f"{trained} {' '.join(EXPORT_OPTIONS)}"
    _make(console, bundle / "bundle.json", recipe, command)
    return bundle


def _make(console: Console, result: Path, recipe: str, command: Sequence[str]) -> None:
    """Run a module of this project, unless the directory it writes is whole and made by the same recipe.

    `result` is the file that the module writes last. A run that was interrupted goes on where it was.
    """
    made = result.parent
    recipe_file = made.with_name(f"{made.name}.recipe")
    if not (recipe_file.exists() and recipe_file.read_text(encoding="utf-8") == recipe):
        shutil.rmtree(made, ignore_errors=True)
        recipe_file.write_text(recipe, encoding="utf-8")
    if result.exists():
        console.print(f"Kept from an earlier run: {made} (delete it to make it anew).", highlight=False)
        return
    console.print(f"$ python -m {' '.join(command)}", style="dim", highlight=False, soft_wrap=True)
    process = children.spawn([sys.executable, "-m", *command])
    try:
        code = process.wait()
    finally:
        children.stop(process)
    if code:
        raise DemoFailed(f"`python -m {command[0]}` ended with exit code {code}: its message is above.")


def _summary(console: Console, account: Account, results: Sequence[Result], skipped: Counter[str]) -> None:
    urgencies = Table("urgency", "comments", "share")
    for lane, count in sorted(account.came.items(), key=lambda item: (item[0] == DEAD_LETTER, -item[1])):
        urgencies.add_row(lane, f"{count:,}", f"{count / account.came.total():.0%}")
    console.print(urgencies)
    speed = Table("comments", "sent", "out a second", "p50", "p99", caption=DELAYS)
    for result in results:
        speed.add_row(
            f"{result.comments:,}",
            result.name,
            f"{result.comments / result.seconds:,.1f}",
            f"{result.p50:.2f} s",
            f"{result.p99:.2f} s",
        )
    console.print(speed)
    for reason, count in skipped.items():
        console.print(f"{count:,} rows of the file were left out: {reason}.", highlight=False)


def _require_exactly_once(account: Account) -> None:
    if account.waiting or account.surplus or not account.sent:
        raise DemoFailed(
            f"Of {account.sent:,} comments, {account.waiting:,} did not come out and {account.surplus:,} "
            "came out once too often: please report this fault with the consumer's log."
        )


def _what_next(console: Console, bundle: Path) -> None:
    python = Path(sys.executable)
    with contextlib.suppress(ValueError):
        python = python.relative_to(Path.cwd())
    service = f"consumer --bundle {os.path.relpath(bundle)} --bootstrap-servers HOST:9092 --create-topics"
    console.print(
        "\n[bold]Every comment came out exactly once.[/bold] Try next:\n"
        "  make demo DATA=your-reviews.tsv.gz\n"
        f"  {python} -m finetune --data your-reviews.tsv.gz --output checkpoint\n"
        f"  {python} -m {service}",
        highlight=False,
        soft_wrap=True,
    )
