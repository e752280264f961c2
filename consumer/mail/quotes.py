"""The newest part of a body: what its sender wrote, without what is quoted below it, above it or between."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

import quotequail

from consumer.mail.phrases import FIELDS
from consumer.mail.signatures import DELIMITER
from consumer.visibility import visible

_MARK: Final = ">"
_COLONS: Final = (":", "\uff1a")
# quotequail tries some forty patterns on a line, some of them in quadratic time: it is asked about lines that
# may introduce a quotation, about so many of them, and about none that is longer than an introduction is.
_ASKED: Final = 50
_LONGEST: Final = 300
# An address, a time of day or a year.
_DATED: Final = re.compile(r"@|\d[:.h]\d\d|(?:19|20)\d\d")
_GAP: Final = re.compile(r"\n{3,}")
# A line drawn across, with some words in it or none.
_RULE: Final = re.compile(r"[*\s]*(?:[-_]{5,}|-{3,}[^-]{1,60}-{3,})[*\s]*$")

# A field of the header that Outlook and others put before what they quote without marks.
_NAME: Final = re.compile(r"[*\s]*([^\W\d_]+(?: [^\W\d_]+)?)[*\s]*[:\uff1a]")
# The others follow the first within so many lines, some of which may be broken.
_HEADER_LINES: Final = 8


def newest_part(body: str) -> str:
    """Cut what is quoted from a body; where all of it is quoted, as in a forwarded one, nothing is cut."""
    lines = [line if line == DELIMITER else line.rstrip() for line in body.splitlines()]
    newest = _unmarked(_unintroduced(_before_header(lines)))
    kept = newest if visible("".join(newest)) else lines
    return _GAP.sub("\n\n", "\n".join(kept)).strip()


def _before_header(lines: list[str]) -> list[str]:
    """Cut from the header of a quoted message on, and the line drawn above it."""
    fields = [_field(line) for line in lines]
    for index, field in enumerate(fields):
        if field == "from" and {"date", "subject"} <= set(fields[index : index + _HEADER_LINES]):
            above = lines[:index]
            while above and (not above[-1] or _RULE.match(above[-1][:_LONGEST])):
                above.pop()
            return above
    return lines


def _field(line: str) -> str | None:
    match = _NAME.match(line[:_LONGEST])
    return FIELDS.get(match[1].casefold()) if match else None


def _unintroduced(lines: list[str]) -> list[str]:
    """Cut what a line introduces as quoted, save what the sender wrote between marked lines of it."""
    for start, stop in _introductions(lines):
        below = lines[stop:]
        marked = any(line.startswith(_MARK) for line in below)
        # "Your driver wrote:" introduces what the sender says.
        if marked or _RULE.match(lines[stop - 1]) or _DATED.search(" ".join(lines[start:stop])):
            return [*lines[:start], "", *(below if marked else [])]
    return lines


def _introductions(lines: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Where the library sees one: the line it begins in, and the one after its last."""
    candidates = [index for index, line in enumerate(lines) if _may_introduce(line)]
    for index in candidates[:_ASKED]:
        # It may be broken over two lines.
        window = [line[-_LONGEST:] for line in lines[max(0, index - 1) : index + 1]]
        parts = quotequail.quote("\n".join(window), quote_intro_line=True)
        if len(parts) > 1:
            yield index - parts[1][1].count("\n"), index + 1


def _may_introduce(line: str) -> bool:
    bare = line.strip("> *\t")
    return len(line) <= _LONGEST and (
        bare.endswith(_COLONS) or bare.startswith("---") or (bare.endswith(">") and bare[:4].isdigit())
    )


def _unmarked(lines: list[str]) -> list[str]:
    """Leave out marked lines, and what introduces them in a language that the library does not know."""
    kept: list[str] = []
    cut = 0
    in_marked = False
    for line in lines:
        if line.startswith(_MARK):
            introduction = 0 if in_marked else _introduction(kept)
            del kept[len(kept) - introduction :]
            cut += 1 + introduction
            in_marked = True
        else:
            kept.append(line)
            in_marked = in_marked and not line
    # One such line alone says that something is more than something.
    return kept if cut > 1 else lines


def _introduction(above: list[str]) -> int:
    """How many lines at the end introduce what is marked below: a date and a colon, on one line or two."""
    length = len(above)
    while length and not above[length - 1]:
        length -= 1
    if not length or not above[length - 1].endswith(_COLONS):
        return 0
    for lines in (1, 2):
        introduction = "".join(above[max(0, length - lines) : length])
        broken = introduction.count("<") != introduction.count(">")
        if len(introduction) <= _LONGEST and not broken and _DATED.search(introduction):
            return len(above) - max(0, length - lines)
    return 0
