"""What a terminal is shown."""

import io
import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wcwidth import width

from consumer import terminal


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """It is."""
        return True


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [
        ({}, True),
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": ""}, True),
        ({"TERM": "dumb"}, False),
    ],
)
def test_colours_are_for_terminals_that_want_them(
    variables: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terminal gets colours unless NO_COLOR has a value or it has none; a file or a pipe never does."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert terminal.colours(Screen()) == coloured
    assert not terminal.colours(io.StringIO())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("one\r\ntwo\x1b[2Jthree\u2028four", "one two [2Jthree four"),
        ("\x9b31mred\x07", "31mred"),
        ("\u202egnorw\u2069", "gnorw"),
        ("half \ud83d", "half"),
        ("नमस्\u200dते", "नमस्\u200dते"),
        ("  a \t b  ", "a b"),
    ],
)
def test_text_is_made_harmless(text: str, shown: str) -> None:
    """Control characters, escape sequences and signs that turn the writing round are gone; joiners stay."""
    assert terminal.harmless(text) == shown


@given(st.text())
def test_nothing_harmful_is_left(text: str) -> None:
    """No text leaves a control character, a surrogate or a format sign but joiners."""
    shown = terminal.harmless(text)

    assert not [sign for sign in shown if unicodedata.category(sign) in ("Cc", "Cs", "Co", "Zl", "Zp")]
    assert {sign for sign in shown if unicodedata.category(sign) == "Cf"} <= set("\u200c\u200d")


@given(st.text(), st.integers(min_value=1, max_value=120))
def test_cut_text_fits(text: str, most: int) -> None:
    """Of any text no more columns are shown than there are, nor ever so many characters."""
    shown = terminal.cut(terminal.harmless(text), most)

    assert width(shown) <= most
    assert len(shown) <= 4 * most + 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("exactly 10", "exactly 10"),
        ("more than 10", "more than…"),
        ("漢字漢字漢", "漢字漢字漢"),
        ("漢字漢字漢字", "漢字漢字…"),
        ("e\u0301" * 10, "e\u0301" * 10),
        ("👨‍👩‍👧‍👦 four of a family", "👨‍👩‍👧‍👦 four o…"),
        ("e" + "\u0301" * 99, "e" + "\u0301" * 39 + "…"),
    ],
)
def test_columns_are_counted_as_they_are_shown(text: str, shown: str) -> None:
    """Wide signs take two columns, accents and joined ones none more, and a flood of accents is cut."""
    assert terminal.cut(text, 10) == shown


def test_without_a_bound_nothing_is_cut() -> None:
    """Where no terminal bounds the line, all of the text is there."""
    assert terminal.columns(io.StringIO()) is None
    assert terminal.cut("x" * 1000, None) == "x" * 1000


def test_json_says_the_same_on_one_line() -> None:
    """JSON keeps its value; line breaks become spaces, and what a terminal may obey is escaped."""
    value = {"text": "\x9b31m red \u202e \x7f\u2028 ü 漢", "list": [1, 2]}
    document = json.dumps(value, ensure_ascii=False, indent=2).replace("\n", "\r\n")

    shown = terminal.harmless_json(document.encode()).decode()

    assert json.loads(shown) == value
    assert "漢" in shown
    assert shown.isprintable()
