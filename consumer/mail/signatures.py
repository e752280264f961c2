"""A body -> the same without the signature at its end.

Rather too little is cut than too much: below a sign-off only what can be a name and an address.
"""

import fnmatch
import re
from typing import Final

from consumer.mail.phrases import SENT_FROM, SIGN_OFFS
from consumer.visibility import visible

# RFC 3676 has a space at its end, which some programs take away.
DELIMITER: Final = "-- "
_BARE_DELIMITERS: Final = ("--", "—", "__")
_MOST_LINES: Final = 15
_LONGEST_LINE: Final = 80
_SENTENCE_WORDS: Final = 4
_LONG_SENTENCE_WORDS: Final = 6
_SENTENCE_ENDS: Final = (".", "!", "?", "…", "。", "\uff01", "\uff1f")
_AFTER_SIGN_OFF: Final = " ,.!。\uff0c\uff01"
_POSTSCRIPT: Final = re.compile(r"p\.?\s?(?:p\.?\s?)?s\b", re.IGNORECASE)

_SENT_FROM: Final = re.compile("|".join(map(fnmatch.translate, SENT_FROM)))


def unsigned(body: str) -> str:
    """Cut the signature, and the line by which a mail program or a telephone names itself."""
    lines = _without_program(body.rstrip().split("\n"))
    for index, line in enumerate(lines):
        if _begins_signature(line, lines[index + 1 : index + 2 + _MOST_LINES]) and visible(
            "".join(lines[:index])
        ):
            return "\n".join(_without_program(lines[:index])).rstrip()
    return "\n".join(lines).rstrip()


def _without_program(lines: list[str]) -> list[str]:
    last = max((index for index, line in enumerate(lines) if line.strip()), default=0)
    named = len(lines[last]) <= _LONGEST_LINE and _SENT_FROM.match(lines[last].strip().casefold())
    return lines[:last] if named else lines


def _begins_signature(line: str, below: list[str]) -> bool:
    if line == DELIMITER:
        return True
    begins = line.strip() in _BARE_DELIMITERS or line.strip(_AFTER_SIGN_OFF).casefold() in SIGN_OFFS
    return begins and len(below) <= _MOST_LINES and not any(map(_is_sentence, below))


def _is_sentence(line: str) -> bool:
    words = len(line.split())
    ends = line.rstrip().endswith(_SENTENCE_ENDS)
    return (
        words >= _LONG_SENTENCE_WORDS
        or (ends and (words >= _SENTENCE_WORDS or not line.isascii()))
        or bool(_POSTSCRIPT.match(line))
    )
