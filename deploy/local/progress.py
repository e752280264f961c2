"""Progress of long work: a bar on a terminal, a line now and then elsewhere."""

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

SECONDS_BETWEEN_LINES = 2.0


@contextlib.contextmanager
def counting(
    label: str, unit: str, total: int | None = None, console: Console | None = None
) -> Iterator[Callable[[int], None]]:
    """Show how many of `total` (None: nobody knows) are done; the function given adds to them."""
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield _lines(label, unit, total, console)
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(label, total=total)
        yield lambda more: progress.update(task, advance=more)


def _lines(label: str, unit: str, total: int | None, console: Console) -> Callable[[int], None]:
    done = 0
    next_line = time.monotonic() + SECONDS_BETWEEN_LINES
    of = "" if total is None else f" of {total:,}"

    def advance(more: int) -> None:
        nonlocal done, next_line
        done += more
        if time.monotonic() >= next_line or done == total:
            console.print(f"{label}: {done:,}{of} {unit}", highlight=False)
            next_line = time.monotonic() + SECONDS_BETWEEN_LINES

    return advance


@contextlib.contextmanager
def waiting(what: str, console: Console) -> Iterator[None]:
    """Show that something is under way (a spinner on a terminal), then how long it took."""
    start = time.monotonic()
    if not console.is_terminal:
        console.print(f"{what} …", highlight=False)
    with console.status(what):
        yield
    console.print(f"{what}: done in {time.monotonic() - start:.1f} s", highlight=False)
