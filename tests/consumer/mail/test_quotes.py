"""What is cut from a body as quoted, and what is not."""

import tomllib
from pathlib import Path

import pytest

from consumer.mail.quotes import newest_part

LANGUAGES = tomllib.loads(Path(__file__).with_name("replies.toml").read_text(encoding="utf-8"))
NEW = LANGUAGES["en"]["new"]
WROTE = LANGUAGES["en"]["introduction"]
HEADER = LANGUAGES["en"]["header"]
UNMARKED = "Dear customer,\n\nthank you for your order.\n\nYour support"
MARKED = "> Dear customer,\n>\n> thank you for your order.\n"


@pytest.mark.parametrize("language", LANGUAGES)
def test_marked_reply(language: str) -> None:
    """In any language the lines marked as quoted go, with the line that introduces them."""
    reply = LANGUAGES[language]

    assert newest_part(f"{reply['new']}\n\n{reply['introduction']}\n\n{MARKED}") == reply["new"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_introduction_on_two_lines(language: str) -> None:
    """It is found where a mail program broke it, in or after an address."""
    reply = LANGUAGES[language]
    introduction = reply["introduction"].replace(" <", " <\n", 1)

    assert newest_part(f"{reply['new']}\n\n{introduction}\n\n{MARKED}") == reply["new"]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("rule", ["", "_" * 32 + "\n", "-----X-----\n\n", "*" + "-" * 20 + "*\n"])
def test_header_of_what_is_quoted(language: str, rule: str) -> None:
    """In any language all goes from the fields on that Outlook puts before what it quotes without marks."""
    reply = LANGUAGES[language]

    assert newest_part(f"{reply['new']}\n{rule}{reply['header']}\n\n{UNMARKED}") == reply["new"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_header_in_bold(language: str) -> None:
    """The fields may have stars around their names, which stand for bold letters."""
    reply = LANGUAGES[language]
    bold = "\n".join("*{}:*{}".format(*line.split(":", 1)) for line in reply["header"].splitlines())

    assert newest_part(f"{reply['new']}\n\n{bold}\n\n{UNMARKED}") == reply["new"]


@pytest.mark.parametrize(
    "quoted",
    [
        f"> {WROTE}\n> \n{MARKED}",
        f"On 11/3/26 09:12, Support wrote:\n{MARKED}",
        f"Am 03.11.26 um 09:12 schrieb Support:\n{MARKED}",
        MARKED,
        f"{WROTE}\n\n{UNMARKED}",
        f"{WROTE.replace(' <', ' <' + chr(10))}\n\n{UNMARKED}",
        f"  {WROTE}  \n \n {UNMARKED}",
        f"-----Original Message-----\n{HEADER}\n\n{UNMARKED}",
        f"-----Ursprüngliche Nachricht-----\n{UNMARKED}",
        f"---------- Forwarded message ---------\n{HEADER}\n\n\n{UNMARKED}",
        f"Begin forwarded message:\n\n{MARKED}",
        f"{WROTE}\n\n> {WROTE}\n>\n>> deep\n\n{MARKED}",
    ],
)
def test_kinds_of_replies(quoted: str) -> None:
    """What mail programs put below an answer goes, marked or not."""
    assert newest_part(f"{NEW}\n\n{quoted}") == NEW


def test_answers_between() -> None:
    """Of answers between the lines they answer, the answers stay."""
    body = f"{WROTE}\n\n> Did you unplug it?\n> At once?\n\nYes, at once.\n\n> Is it warm?\n\nIt is hot.\n"

    assert newest_part(body).split("\n\n") == ["Yes, at once.", "It is hot."]


@pytest.mark.parametrize("language", LANGUAGES)
def test_answer_below(language: str) -> None:
    """An answer below what it answers stays, without that and what introduces it."""
    reply = LANGUAGES[language]

    assert newest_part(f"{reply['introduction']}\n{MARKED}\n{reply['new']}") == reply["new"]


@pytest.mark.parametrize(
    "body",
    [
        f"{WROTE}\n\n{MARKED}",
        f"---------- Forwarded message ---------\n{HEADER}\n\n{UNMARKED}",
        "From: Anna <anna@example.org>\nDate: today\nSubject: a form\n\nThe charger smokes.",
        MARKED,
    ],
)
def test_all_quoted(body: str) -> None:
    """A message that has nothing of its own, such as a forwarded one or that of a form, is read whole."""
    assert newest_part(body) == body.strip()


@pytest.mark.parametrize(
    "body",
    [
        NEW,
        "On Monday your colleague wrote: we call you.\nNobody called.",
        "Here is what your driver wrote:\n\nNobody at home. That is a lie.",
        "Your driver lies.\nOn Monday he wrote:\n\nNobody at home.",
        "My train:\nFrom: Berlin\nTo: Hamburg\nDate: 3 November\nwas late, and nobody helped.",
        "The parcel weighs\n> 5 kg\nbut you charged me for 2.",
        f"Order 7\n{'_' * 40}\nThe kettle burns.\nCall me.",
        f"Order 7\n{'-' * 40}\nThe kettle burns.\nCall me.",
        "--- urgent ---\nThe kettle burns.",
        "2026/11/03 I ordered.\nIt never came.",
        "Subject: a refund\nDate: 3.11.\nFrom where do I get it?",
        "Three things:\n\n- the lid\n- the plug",
        "At 10:30 it said:\nno one is there\nAt 11:00 it said:\nnothing",
    ],
)
def test_what_only_looks_quoted(body: str) -> None:
    """What a customer writes stays, though it has words, marks or lines of a quotation."""
    assert newest_part(body) == body


def test_long_line_introduces_nothing() -> None:
    """A paragraph on one line is not taken for an introduction because of its last words."""
    paragraph = (
        "The charger smokes. " * 20 + "Support 2026 \u043d\u0430\u043f\u0438\u0441\u0430\u043b(\u0430):"
    )

    assert newest_part(f"{paragraph}\n\n{MARKED}") == paragraph


def test_lines_end_alike() -> None:
    """Whatever ends the lines of a body, a line feed ends those of its newest part."""
    assert newest_part("a\r\nb\rc \n") == "a\nb\nc"
