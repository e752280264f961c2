"""Shows how far a step is: a bar on a terminal, otherwise counts."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

SECONDS_BETWEEN_LINES = 2.0


def numbered(total: int) -> Callable[[str], None]:
    """Give a function that announces a step and its number."""
    number = 0

    def step(what: str) -> None:
        nonlocal number
        number += 1
        print(f"[{number}/{total}] {what}", flush=True)

    return step


@contextmanager
def counted(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Give a function to call with how many more are done."""
    if sys.stdout.isatty():
        columns = (
            TextColumn("      {task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda count: bar.advance(task, count)
    else:
        yield _lines(what, total)


def _lines(what: str, total: int) -> Callable[[int], None]:
    done = 0
    shown = time.monotonic()

    def advance(count: int) -> None:
        nonlocal done, shown
        done += count
        if time.monotonic() - shown >= SECONDS_BETWEEN_LINES:
            shown = time.monotonic()
            print(f"      {what}: {done} of {total}", flush=True)

    return advance
