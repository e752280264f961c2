"""What is shown of the routed messages."""

import io

from rich.console import Console

from deploy.local.display import Lanes, Lines, display
from deploy.local.routed import Routed


def console(terminal: bool) -> Console:
    """A console of 100 columns that writes into a string."""
    return Console(file=io.StringIO(), force_terminal=terminal, width=100, height=40)


def printed(screen: Console) -> str:
    """What has been written to it."""
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


def message(text: str, lane: str = "high") -> Routed:
    """A routed message."""
    return Routed(lane, b"1", text, "2", 0.87)


def test_terminal_has_lanes_and_a_file_has_lines() -> None:
    """The lanes are for a terminal; where the output goes elsewhere there are plain lines."""
    assert isinstance(display(console(True), ["high"]), Lanes)
    assert isinstance(display(console(False), ["high"]), Lines)


def test_lanes_show_counts_newest_comments_and_what_waits() -> None:
    """Each lane has its count and newest comment; dead letters and what waits stand below."""
    screen = console(True)
    with Lanes(screen, ["high", "low", "dead-letter"]) as lanes:
        lanes.show([message("never came"), message("lovely", "low"), message("{", "dead-letter")], 1234)
    text = printed(screen)

    assert all(part in text for part in ("high 1 ", "low 1 ", "never came", "lovely", "waiting 1,234"))
    assert "dead letters 1" in text


def test_every_message_has_a_line() -> None:
    """Without a bound, each message is one line with its lane, label, confidence and text."""
    screen = console(False)
    with Lines(screen, None) as lines:
        lines.show([message("never came"), message("lovely", "low")], None)

    assert printed(screen).splitlines() == ["high        2  87% never came", "low         2  87% lovely"]


def test_lines_left_out_are_counted() -> None:
    """With a bound, what is not printed is counted by its lane."""
    screen = console(False)
    with Lines(screen, 0) as lines:
        lines.show([message("a"), message("b"), message("c", "low")], None)

    assert printed(screen) == "… and 2 high, 1 low\n"


def test_comments_cannot_move_the_cursor() -> None:
    """Line breaks and escape sequences in a comment do not reach the terminal."""
    screen = console(False)
    with Lines(screen, None) as lines:
        lines.show([message("one\r\ntwo\x1b[2Jthree\u2028four")], None)

    assert printed(screen) == "high        2  87% one two [2Jthree four\n"
