"""What the log tells of the work."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
from kafka.consumer.fetcher import ConsumerRecord

from consumer import logs, progress
from consumer.classifier import Work
from consumer.messages import Outgoing
from consumer.progress import Progress

STAGES = {"poll": 0.001, "classify": 0.25, "publish": 0.01, "commit": 0.0123456789}


def record(partition: int, offset: int) -> ConsumerRecord:
    """A record read."""
    fields = dict.fromkeys(ConsumerRecord._fields)
    place = {"topic": "comments", "partition": partition, "offset": offset}
    return ConsumerRecord(**{**fields, **place, "key": b"customer-7", "value": b"late again"})


def routed(urgency: str) -> Outgoing:
    """A labelled message."""
    message = Outgoing(f"comments.{urgency}", None, b"late again", [], None, urgency=urgency, label="1")
    return message._replace(model_version="3f1c0a9be2d4")


LETTER = Outgoing("comments.dead-letter", None, b"late again", [], None, reason="not-json")
RECORDS = [record(0, 10), record(0, 12), record(1, 5), record(0, 13)]
OUTGOING = [routed("low"), routed("high"), LETTER, routed("low")]


@pytest.fixture(autouse=True)
def root() -> Iterator[None]:
    """Put logging back as it was."""
    root = logging.getLogger()
    before = (root.handlers, root.level)
    yield
    root.handlers = before[0]
    root.setLevel(before[1])


def told(level: str, log_format: logs.LogFormat, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines of two batches, a minute apart, and of the end."""
    printed = io.StringIO()
    monkeypatch.setattr("sys.stderr", printed)
    logs.configure(level, log_format)
    progress = Progress()
    progress.committed(RECORDS, OUTGOING, STAGES, Work(2, 40))
    progress.tell(7)
    monkeypatch.setattr("consumer.progress.EVERY_SECONDS", 0.0)
    progress.committed(RECORDS[2:3], OUTGOING[2:3], STAGES, Work())
    progress.tell(7)
    progress.tell(at_once=True)
    return printed.getvalue().splitlines()


def test_batch_is_told_in_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    """At debug level each batch has its offsets, counts and times as members of its JSON line."""
    batch, only_letters, _ = map(json.loads, told("debug", "json", monkeypatch))

    assert batch["level"] == "debug"
    assert batch["batch"] == {
        "messages": 4,
        "partitions": [
            {"topic": "comments", "partition": 0, "first_offset": 10, "last_offset": 13, "messages": 3},
            {"topic": "comments", "partition": 1, "first_offset": 5, "last_offset": 5, "messages": 1},
        ],
        "urgencies": {"low": 2, "high": 1},
        "dead_letters": {"not-json": 1},
        "seconds": {"poll": 0.001, "classify": 0.25, "publish": 0.01, "commit": 0.012346},
        "micro_batches": 2,
        "tokens": 40,
        "model_version": "3f1c0a9be2d4",
    }
    assert only_letters["batch"]["model_version"] is None


def test_minute_is_told_in_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    """At info level there is one line for all batches of a minute, and none where nothing has committed."""
    [line] = map(json.loads, told("info", "json", monkeypatch))

    assert line["level"] == "info"
    assert line["progress"].pop("seconds") >= 0
    assert line["progress"] == {
        "messages": 5,
        "batches": 2,
        "urgencies": {"low": 2, "high": 1},
        "dead_letters": {"not-json": 2},
        "lag": 7,
    }


def test_lines_are_for_people_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """As text, a line says the same in words, and nothing that a message says."""
    batch, only_letters, minute = told("debug", "text", monkeypatch)

    assert batch.endswith(
        "committed 4 messages: comments-0 10 to 13, comments-1 5 to 5; high 1, low 2, dead letters 1;"
        " poll 0.001 s, classify 0.250 s, publish 0.010 s, commit 0.012 s; 2 micro-batches, 40 tokens;"
        " model 3f1c0a9be2d4"
    )
    assert "comments-1 5 to 5; dead letters 1; poll" in only_letters
    assert only_letters.endswith("; 0 micro-batches, 0 tokens; model not asked")
    assert minute.endswith("committed 5 messages in 0 s: high 1, low 2, dead letters 2; 7 wait")
    assert not [line for line in (batch, only_letters, minute) if "late" in line or "customer" in line]


def test_minute_is_not_told_before_it_is_over(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What has committed is kept until the minute is over, or the end has come."""
    caplog.set_level(logging.INFO)
    own = Progress()
    assert progress.EVERY_SECONDS == 60
    own.committed(RECORDS, OUTGOING, STAGES, Work())
    own.tell(0)
    assert not caplog.messages

    own.tell(at_once=True)

    assert caplog.messages == ["committed 4 messages in 0 s: high 1, low 2, dead letters 1"]
