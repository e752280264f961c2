"""What is cut from a body as its signature, and what is not."""

import tomllib
from pathlib import Path

import pytest

from consumer.mail import phrases
from consumer.mail.signatures import unsigned

LANGUAGES = tomllib.loads(Path(phrases.__file__).with_suffix(".toml").read_text(encoding="utf-8"))
SIGN_OFFS = [phrase for language in LANGUAGES.values() for phrase in language["sign_offs"]]
PROGRAMS = [phrase for language in LANGUAGES.values() for phrase in language["sent_from"]]
TEXT = "The charger smokes.\nCall me today."
NAME = "Anna Example\nHead of Chargers\nMain Street 5, 12345 Town\n+1 555 0100 | anna@example.org"


@pytest.mark.parametrize("delimiter", ["-- ", "--", "—", "__"])
def test_delimiter(delimiter: str) -> None:
    """All goes from the line on that marks a signature."""
    assert unsigned(f"{TEXT}\n\n{delimiter}\n{NAME}") == TEXT


def test_standard_delimiter_marks_anything() -> None:
    """Below the line that the standard has for it, sentences are part of a signature too."""
    assert unsigned(f"{TEXT}\n-- \nThis message is only for those whom it is meant for.\n{NAME}") == TEXT


@pytest.mark.parametrize("phrase", SIGN_OFFS)
def test_sign_off(phrase: str) -> None:
    """A sign-off and the name and address below it go, in any language, in small letters too."""
    assert unsigned(f"{TEXT}\n\n{phrase},\n\n{NAME}") == TEXT
    assert unsigned(f"{TEXT}\n\n{phrase.lower()}\n{NAME}") == TEXT


def test_sign_off_in_capitals() -> None:
    """A letter that has no capital is found in its other spelling."""
    assert unsigned(f"{TEXT}\n\nMIT FREUNDLICHEN GRÜSSEN\n{NAME}") == TEXT


@pytest.mark.parametrize("phrase", PROGRAMS)
def test_program(phrase: str) -> None:
    """The line by which a telephone names itself goes, alone, below a signature and above it."""
    line = phrase.replace("*", "my iPhone")
    assert unsigned(f"{TEXT}\n\n{line}\n") == TEXT
    assert unsigned(f"{TEXT}\n\nRegards\nAnna\n\n{line}") == TEXT
    assert unsigned(f"{TEXT}\n\n{line}\n-- \nAnna") == TEXT
    assert unsigned(line) == ""


@pytest.mark.parametrize(
    "body",
    [
        TEXT,
        "I got the parcel.\n\nThanks, but the charger smokes.\n\nCall me.",
        "Thanks\n\nThe kettle is broken\nCall me",
        "I tried all.\nBest, cheapest and oldest: all broken.",
        "Hello.\nSent from my old address it never came.\nThe kettle burns.",
        "Regards\n\nThe kettle burns and nobody calls me back.",
        "The lid is loose.\n\nRegards\nAnna\n\nPS: call me",
        "The lid is loose.\n\nRegards\nAnna\n\nP.P.S. and the plug",
        "The lid is loose.\n--\nThe plug burns my hand.",
        "The lid is loose.\n\nRegards\nI still wait for a call from you",
        "Regards",
        "-- \nAnna",
        "Order 7\n--\n" + "Lid\n" * 20 + "Plug",
        "",
    ],
)
def test_what_only_looks_like_a_signature(body: str) -> None:
    """What may be a customer's sentence stays, and so does a body that is nothing else."""
    assert unsigned(body) == body
