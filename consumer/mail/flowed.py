"""format=flowed (RFC 3676): lines that a mail program broke come together again."""

import re
from typing import Final

from consumer.mail.signatures import DELIMITER

_MARKS: Final = re.compile(">*")


def unflowed(text: str, *, delete_space: bool) -> str:
    """Join each line that ends with a space to the next one that is quoted as deeply.

    Args:
        text: a body that says format=flowed.
        delete_space: it says delsp=yes, so that the space at a broken line's end is none of the text.
    """
    paragraphs: list[tuple[str, list[str]]] = []
    flows = False
    for line in text.splitlines():
        marks, content = _parts(line)
        if not (flows and content != DELIMITER and marks == paragraphs[-1][0]):
            paragraphs.append((marks, []))
        flows = content.endswith(" ") and content != DELIMITER
        paragraphs[-1][1].append(content[:-1] if flows and delete_space else content)
    return "\n".join(
        f"{marks} {''.join(pieces)}" if marks else "".join(pieces) for marks, pieces in paragraphs
    )


def _parts(line: str) -> tuple[str, str]:
    match = _MARKS.match(line)
    assert match is not None
    # A line that starts with a space, a mark or "From " has one space more in front.
    return match[0], line[match.end() :].removeprefix(" ")
