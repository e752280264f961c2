"""HTML -> the text that a reader sees, without what their mail program marks as quoted or as a signature."""

import re
from collections.abc import Mapping
from typing import Final

from lxml import etree

from consumer.visibility import visible

# Only mail programs give these names, to what they put around quotations and signatures.
_QUOTED_CLASSES: Final = frozenset(
    {
        "gmail_quote",
        "gmail_signature",
        "moz-cite-prefix",
        "moz-signature",
        "protonmail_quote",
        "protonmail_signature_block",
        "yahoo_quoted",
        "zmail_extra",
    }
)
_QUOTED_IDS: Final = frozenset(
    {"Signature", "ms-outlook-mobile-signature", "mail-editor-reference-message-container"}
)
_UNSEEN: Final = frozenset({"head", "script", "style", "template", "title"})
_INVISIBLE: Final = re.compile(r"display\s*:\s*none", re.IGNORECASE)
_SPACES: Final = re.compile(r"\s+")

_ON_LINES_OF_THEIR_OWN: Final = frozenset(
    {"address", "article", "aside", "center", "dd", "div", "dl", "dt", "footer", "form", "header", "hr", "li"}
    | {"main", "section", "tr"}
)
_BETWEEN_EMPTY_LINES: Final = frozenset(
    {"blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "pre", "table", "ul"}
)


def text_of(html: str) -> str:
    """Give the text of an HTML body; where all of it is quoted, all of it."""
    reading = _Reading()
    # Without a tree there is no depth at which it takes long, or at which text goes.
    parser = etree.HTMLParser(target=reading, encoding="utf-8", huge_tree=True)
    parser.feed(html.encode("utf-8", "replace") or b" ")
    parser.close()
    newest = "".join(reading.newest).strip()
    return newest if visible(newest) else "".join(reading.whole).strip()


class _Reading:
    """What lxml's parser calls as it goes; each element that it starts it also ends.

    White space becomes one space, and elements that make lines make them.
    """

    def __init__(self) -> None:
        self.newest: list[str] = []
        self.whole: list[str] = []
        # What follows the last text: line ends that it needs, or else a space that it has.
        self._line_ends = 0
        self._spaced = False
        # How deep it is in what is unseen, in what is quoted, and in what keeps its line ends.
        self._unseen = self._quoted = self._kept = 0

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if self._unseen or tag in _UNSEEN or (attributes and _is_unseen(attributes)):
            self._unseen += 1
            return
        self._quoted += bool(self._quoted or (attributes and _is_quoted(tag, attributes)))
        self._kept += bool(self._kept or tag == "pre")
        if tag == "br":
            self._line_ends += 1
        elif tag in ("td", "th"):
            self._add(" ")
        else:
            self._end_line(tag)

    def end(self, tag: str) -> None:
        if self._unseen:
            self._unseen -= 1
            return
        self._quoted -= bool(self._quoted)
        self._kept -= bool(self._kept)
        self._end_line(tag)

    def data(self, text: str) -> None:
        if self._unseen:
            return
        if not self._kept:
            self._add(text)
            return
        first, *others = text.split("\n")
        self._add(first)
        for other in others:
            self._line_ends += 1
            self._add(other)

    def close(self) -> None:
        """Nothing is left to be done."""

    def _end_line(self, tag: str) -> None:
        if tag in _ON_LINES_OF_THEIR_OWN:
            self._line_ends = max(self._line_ends, 1)
        elif tag in _BETWEEN_EMPTY_LINES:
            self._line_ends = max(self._line_ends, 2)

    def _add(self, text: str) -> None:
        text = _SPACES.sub(" ", text)
        if self._line_ends or self._spaced:
            text = text.lstrip(" ")
        if not text:
            return
        self._spaced = text[-1] == " "
        if self._line_ends:
            text = "\n" * min(self._line_ends, 2) + text
            self._line_ends = 0
        self.whole.append(text)
        if not self._quoted:
            self.newest.append(text)


def _is_unseen(attributes: Mapping[str, str]) -> bool:
    return "hidden" in attributes or bool(_INVISIBLE.search(attributes.get("style", "")))


def _is_quoted(tag: str, attributes: Mapping[str, str]) -> bool:
    return (
        (tag == "blockquote" and attributes.get("type", "").lower() == "cite")
        or not _QUOTED_CLASSES.isdisjoint(attributes.get("class", "").split())
        or attributes.get("id") in _QUOTED_IDS
    )
