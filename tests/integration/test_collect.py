"""`python -m finetune collect` against a real broker, and what it makes of messages."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune.__main__ import main
from finetune.data import read_rows
from tests.integration.conftest import Kafka, Message

Collect = Callable[..., list[tuple[str | None, str]]]


def labelled(number: int, text: str, **added: Any) -> Message:
    """A labelled message as the consumer publishes it, with more fields."""
    classification = {"urgency": "low", "label": "5", "confidence": 0.9}
    value = {"id": number, "text": text, "classification": classification, **added}
    return Message(json.dumps(value).encode(), key=f"customer-{number}".encode())


@pytest.fixture
def collect(kafka: Kafka, prefix: str, tmp_path: Path) -> Collect:
    """Sends messages, collects them, and gives the rows: label and text."""

    def run(messages: list[Message], *flags: str) -> list[tuple[str | None, str]]:
        topic, output = f"{prefix}feedback", tmp_path / "rows.jsonl"
        kafka.create_topics(topic, partitions=3)
        kafka.produce(topic, messages)
        arguments = ["--bootstrap-servers", kafka.bootstrap_servers, "--topic", topic]
        assert main(["collect", *arguments, "--output", str(output), *flags]) == 0
        return sorted((row.label, row.text) for row in read_rows(output))

    return run


def test_corrections_become_rows(collect: Collect) -> None:
    """A labelled message with its right label is a row that fine-tuning reads, in any alphabet."""
    rows = collect(
        [labelled(1, "Smoke!", correct_label="1"), labelled(2, "Ça va, merci 🙂", correct_label="4")]
    )
    assert rows == [("1", "Smoke!"), ("4", "Ça va, merci 🙂")]


def test_the_newest_wins(collect: Collect) -> None:
    """Of several corrections of one message the last counts, whatever the order of its fields."""
    again = json.dumps({"correct_label": 2, "text": "Late", "id": 1}).encode()
    messages = [labelled(1, "Late", correct_label="3"), Message(again, key=b"customer-1")]
    assert collect(messages) == [("2", "Late")]


def test_the_newest_over_partitions(collect: Collect) -> None:
    """Where corrections of one message are in two partitions the later timestamp wins."""
    value = [json.dumps({"text": "Late", "correct_label": label}).encode() for label in ("3", "1")]
    messages = [
        Message(value[0], partition=0, timestamp_ms=1_700_000_000_000),
        Message(value[1], partition=2, timestamp_ms=1_600_000_000_000),
    ]
    assert collect(messages) == [("3", "Late")]


def test_the_same_text_of_two_customers(collect: Collect) -> None:
    """Messages that say the same are corrected apart where their keys differ, or another field."""
    messages = [labelled(1, "Fine", correct_label="3"), labelled(2, "Fine", correct_label="4")]
    messages.append(Message(labelled(2, "Fine", correct_label="5").value, key=b"another"))
    assert collect(messages) == [("3", "Fine"), ("4", "Fine"), ("5", "Fine")]


def test_taken_back(collect: Collect) -> None:
    """null takes a correction back, and a later one may follow."""
    messages = [labelled(1, "a", correct_label="1"), labelled(1, "a", correct_label=None)]
    messages += [labelled(2, "b", correct_label=None), labelled(2, "b", correct_label="2")]
    assert collect(messages) == [("2", "b")]


def test_what_is_no_correction(collect: Collect, caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be used is left out and counted by what is wrong, without a word of any text."""
    messages = [labelled(1, "secret", correct_label="6"), labelled(2, "secret"), Message(b"\xffsecret")]
    messages += [
        labelled(3, " ", correct_label="1"),
        Message(None, key=b"x"),
        labelled(4, "fine", correct_label="5"),
    ]
    with caplog.at_level("INFO", logger="finetune"):
        assert collect(messages) == [("5", "fine")]
    said = [
        record.getMessage().split(": ", 1)[1]
        for record in caplog.records
        if "left out" in record.getMessage()
    ]
    assert sorted(said) == [
        "left out: 1 with correct_label not one of the labels",
        "left out: 1 with no correct_label",
        "left out: 1 with no text",
        "left out: 2 with no JSON object",
    ]
    assert "secret" not in caplog.text


def test_half_a_character(collect: Collect) -> None:
    """Half an emoji, which JSON can hold and a file cannot, becomes what the consumer reads in its place."""
    value = rb'{"text": "so \ud83d", "correct_label": "2"}'
    assert collect([Message(value)]) == [("2", "so \ufffd")]


def test_names_of_fields_and_columns(kafka: Kafka, prefix: str, tmp_path: Path) -> None:
    """The message's field, the rows' columns and the labels can have other names."""
    topic, output = f"{prefix}feedback", tmp_path / "rows.jsonl"
    kafka.create_topics(topic)
    kafka.produce(topic, [Message(b'{"body": "x", "correct_label": "calm"}')])
    flags = ["--text-field", "body", "--text-column", "t", "--label-column", "l", "--labels", "angry,calm"]
    arguments = ["--bootstrap-servers", kafka.bootstrap_servers, "--topic", topic, "--output", str(output)]
    assert main(["collect", *arguments, *flags]) == 0
    assert json.loads(output.read_text()) == {"l": "calm", "t": "x"}


def test_no_such_topic(kafka: Kafka, prefix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A topic that is not there is named, not made, and no file is written."""
    topic, output = f"{prefix}feedback", tmp_path / "rows.jsonl"
    arguments = ["--bootstrap-servers", kafka.bootstrap_servers, "--topic", topic, "--output", str(output)]
    assert main(["collect", *arguments]) == 1
    assert f"there is no topic {topic}" in capsys.readouterr().err
    assert not output.exists()
    assert topic not in kafka.topics()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--output", "rows.tsv"), "must end in .jsonl"),
        (("--output", "no-such-folder/rows.jsonl"), "there is no folder no-such-folder"),
        (("--output", "rows.jsonl", "--kafka-config", "no-such-file"), "cannot be read as JSON"),
    ],
)
def test_wrong_flags(flags: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A flag that cannot be used is refused before Kafka is asked."""
    with pytest.raises(SystemExit, match="2"):
        main(["collect", "--bootstrap-servers", "localhost:1", *flags])
    assert said in capsys.readouterr().err
