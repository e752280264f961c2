"""Routed messages as they arrive: lanes on a terminal, plain lines elsewhere."""

import time
from collections import Counter, deque
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from consumer.terminal import harmless
from deploy.local.routed import DEAD_LETTER, Routed

RATE_WINDOW_SECONDS = 5.0
COLOURS = {"high": "red", "medium": "yellow", "low": "green"}
LANE_LINES = 12


class Display(Protocol):
    """Shows routed messages."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, messages: Sequence[Routed], lag: int | None) -> None:
        """Show what has come (perhaps nothing) and how many comments wait; None when that is not known."""


def display(console: Console, lanes: Sequence[str], most_lines: int | None = None) -> Display:
    """Lanes on a terminal, else lines: at most `most_lines` a second, or one for each message."""
    return Lanes(console, lanes) if console.is_terminal else Lines(console, most_lines)


class Rate:
    """Messages a second over the last few seconds."""

    def __init__(self) -> None:
        self._counts: deque[tuple[float, int]] = deque()
        self._start = time.monotonic()

    def add(self, count: int) -> None:
        """Count messages that came now."""
        self._counts.append((time.monotonic(), count))

    def __call__(self) -> float:
        """Messages a second."""
        now = time.monotonic()
        while self._counts and self._counts[0][0] < now - RATE_WINDOW_SECONDS:
            self._counts.popleft()
        window = min(RATE_WINDOW_SECONDS, max(1.0, now - self._start))
        return sum(count for _, count in self._counts) / window


class Lanes:
    """One lane an urgency, the newest comments at its top."""

    def __init__(self, console: Console, lanes: Sequence[str]) -> None:
        self._newest: dict[str, deque[Routed]] = {
            lane: deque(maxlen=LANE_LINES) for lane in lanes if lane != DEAD_LETTER
        }
        self._counts: Counter[str] = Counter()
        self._rates = {lane: Rate() for lane in lanes}
        self._total = Rate()
        self._lag: int | None = None
        self._live = Live(console=console, get_renderable=self._picture, refresh_per_second=4)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, messages: Sequence[Routed], lag: int | None) -> None:
        """Put the messages on top of their lanes; the screen follows four times a second."""
        for lane, count in Counter(message.lane for message in messages).items():
            self._counts[lane] += count
            self._rates[lane].add(count)
        self._total.add(len(messages))
        for message in messages:
            if message.lane in self._newest:
                self._newest[message.lane].appendleft(message)
        self._lag = lag

    def _picture(self) -> Group:
        lanes = Table.grid(expand=True)
        for _ in self._newest:
            lanes.add_column(ratio=1)
        lanes.add_row(*(self._panel(lane) for lane in self._newest))
        waiting = "" if self._lag is None else f" · waiting {self._lag:,}"
        dead = f" · dead letters {self._counts[DEAD_LETTER]:,}"
        return Group(lanes, Text(f" {self._total():.0f}/s{waiting}{dead}", style="bold"))

    def _panel(self, lane: str) -> Panel:
        lines = Text(no_wrap=True, overflow="ellipsis")
        for message in self._newest[lane]:
            lines.append(f"{message.label} {message.confidence:4.0%} ", style="dim")
            lines.append(harmless(message.text) + "\n")
        title = f"{lane} {self._counts[lane]:,} · {self._rates[lane]():.0f}/s"
        return Panel(lines, title=title, border_style=COLOURS.get(lane, "cyan"), height=LANE_LINES + 2)


class Lines:
    """One line a message; with `most_lines`, so many a second and how many were left out."""

    def __init__(self, console: Console, most_lines: int | None) -> None:
        self._console = console
        self._most_lines = most_lines
        self._held_back: Counter[str] = Counter()
        self._second = 0
        self._lines = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._say_held_back(None)

    def show(self, messages: Sequence[Routed], lag: int | None) -> None:
        """Print the messages, or what there is room for in this second."""
        if self._second != (second := int(time.monotonic())):
            self._second, self._lines = second, 0
            self._say_held_back(lag)
        for message in messages:
            if self._most_lines is not None and self._lines >= self._most_lines:
                self._held_back[message.lane] += 1
                continue
            self._lines += 1
            sure = f"{message.confidence:4.0%}" if message.confidence else "    "
            line = f"{message.lane:<11} {message.label} {sure} {harmless(message.text)}"
            self._console.print(Text(line), no_wrap=True, overflow="ellipsis", crop=True)

    def _say_held_back(self, lag: int | None) -> None:
        if self._held_back:
            more = ", ".join(f"{count} {lane}" for lane, count in self._held_back.items())
            waiting = "" if lag is None else f" ({lag:,} waiting)"
            self._console.print(f"… and {more}{waiting}", highlight=False)
            self._held_back.clear()
