"""What a terminal is shown: colours where they are wanted, text that cannot harm it, lines that fit."""

import os
import re
import shutil
from typing import Final, TextIO

from wcwidth import clip, width

RED: Final = "1;31"
YELLOW: Final = "33"
GREEN: Final = "32"
CYAN: Final = "36"
BLUE: Final = "34"
MAGENTA: Final = "35"

# They join letters, as Persian and emoji need it, and do nothing else.
_JOINERS: Final = "\u200c\u200d"
# Some columns take many characters, since accents add none; nobody writes so many on each.
_MOST_CHARACTERS_A_COLUMN: Final = 4
# What JSON lets stand as it is in a string, and a terminal may obey, or take for the end of a line.
_UNSAFE_IN_JSON: Final = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def colours(stream: TextIO) -> bool:
    """Whether to print in colour there: on a terminal that has some, unless NO_COLOR is set."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def painted(text: str, colour: str) -> str:
    """The text in a colour, one of the above."""
    return f"\x1b[{colour}m{text}\x1b[0m"


def harmless(text: str) -> str:
    """The text on one line, without what could move a cursor, change a colour or turn the writing round."""
    shown = (sign if sign.isprintable() or sign in _JOINERS else " " for sign in text)
    return " ".join("".join(shown).split())


def harmless_json(document: bytes) -> bytes:
    """The same JSON on one line, as it stands but for characters that a terminal may obey: those are escaped.

    Args:
        document: valid JSON in UTF-8, where line breaks are nothing but white space.
    """
    on_one_line = document.replace(b"\r", b" ").replace(b"\n", b" ").decode()
    return _UNSAFE_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", on_one_line).encode()


def columns(stream: TextIO) -> int | None:
    """How wide a line may be there, in columns; None where nothing bounds it."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


def cut(text: str, most: int | None) -> str:
    """The beginning of a text that is harmless, with an ellipsis where it had to end.

    Args:
        text: what to cut.
        most: columns that it may take; a Chinese character takes two; None takes all of it.
    """
    if most is None:
        return text
    bounded = text[: most * _MOST_CHARACTERS_A_COLUMN]
    if bounded == text and width(text) <= most:
        return text
    return clip(bounded, 0, max(0, most - 1)).rstrip() + "…"
