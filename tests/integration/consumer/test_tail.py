"""The routed topics of a real broker, followed."""

import contextlib
import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewPartitions
from kafka.errors import KafkaConnectionError
from wcwidth import width

from consumer import clients
from consumer.__main__ import main
from consumer.tail import reading
from consumer.tail.reading import RoutedTopics
from consumer.tail.routed import routed
from consumer.tail.settings import parse
from tests.integration.conftest import Kafka, Message

SECONDS = 60.0


def labelled(text: str, urgency: str = "high", confidence: float = 0.9, at: int | None = None) -> Message:
    """A labelled message as the service writes it; `at` is its timestamp in milliseconds."""
    classification = {"urgency": urgency, "label": "1", "confidence": confidence}
    value = json.dumps({"text": text, "classification": classification}, ensure_ascii=False).encode()
    return Message(value, timestamp_ms=at)


def flags(kafka: Kafka, prefix: str, *arguments: str) -> list[str]:
    """The flags of a tail of this test's topics."""
    return ["--bootstrap-servers", kafka.bootstrap_servers, "--output-prefix", prefix, *arguments]


def shown(capfd: pytest.CaptureFixture[str], kafka: Kafka, prefix: str, *arguments: str) -> list[str]:
    """The texts of what a tail that does not follow shows."""
    assert main(["tail", *flags(kafka, prefix, "--no-follow", "--json", *arguments)]) == 0
    return [json.loads(line)["text"] for line in capfd.readouterr().out.splitlines()]


@pytest.fixture
def topics(kafka: Kafka, prefix: str) -> str:
    """This test's prefix, its routed topics made, three partitions each."""
    kafka.create_topics(*(f"{prefix}{urgency}" for urgency in ("high", "medium", "low")), partitions=3)
    return prefix


@pytest.fixture
def tail(kafka: Kafka, topics: str) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a tail of this test's topics in a process of its own; it is killed in the end."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **how: Any) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "consumer", "tail", *flags(kafka, topics, *arguments)]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | how
        started.append(subprocess.Popen(command, **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def publish_in_transactions(kafka: Kafka, topic: str, count: int) -> None:
    """Send so many messages to partition 0, each in a transaction of its own, and abort as many others."""
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap_servers, transactional_id=topic)
    try:
        producer.init_transactions()
        for number in range(count):
            for what, end in (
                ("rolled back", producer.abort_transaction),
                (str(number), producer.commit_transaction),
            ):
                producer.begin_transaction()
                producer.send(topic, value=labelled(what).value, partition=0)
                producer.flush()
                end()
    finally:
        producer.close()


def test_newest_are_found_behind_marks_of_transactions(
    kafka: Kafka, topics: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """--last counts what is committed: neither marks of transactions nor what was rolled back."""
    monkeypatch.setattr(reading, "LEAST_STRIDE", 5)
    publish_in_transactions(kafka, f"{topics}high", 12)

    assert shown(capfd, kafka, topics, "--last", "5") == ["7", "8", "9", "10", "11"]
    assert shown(capfd, kafka, topics, "--last", "99") == list(map(str, range(12)))
    assert shown(capfd, kafka, topics, "--from-beginning") == list(map(str, range(12)))


def test_newest_of_all_partitions_come_in_the_order_of_their_times(
    kafka: Kafka, topics: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """--last takes the newest of those asked for over all topics and partitions, oldest first."""
    # Not long ago: Kafka deletes by timestamp.
    begin = time.time_ns() // 1_000_000 - 60_000
    for urgency, first in (("high", 0), ("medium", 1), ("low", 2)):
        messages = [
            labelled(f"{urgency} {number}", urgency, confidence=number / 30, at=begin + number)
            for number in range(first, 30, 3)
        ]
        kafka.produce(f"{topics}{urgency}", messages)

    assert shown(capfd, kafka, topics, "--last", "4") == ["low 26", "high 27", "medium 28", "low 29"]
    assert shown(capfd, kafka, topics, "--last", "2", "--urgency", "high,low") == ["high 27", "low 29"]
    assert shown(capfd, kafka, topics, "--last", "2", "--max-confidence", "0.1") == ["low 2", "high 3"]
    assert shown(capfd, kafka, topics, "--last", "2", "--grep", "MEDIUM") == ["medium 25", "medium 28"]
    assert len(shown(capfd, kafka, topics, "--from-beginning")) == 30


def test_json_is_what_the_topic_holds(kafka: Kafka, topics: str, capfd: pytest.CaptureFixture[str]) -> None:
    """--json prints a message's value byte for byte, but for line breaks, which take no part in it."""
    classification = b'{"urgency":"high","label":"1","confidence":1}'
    value = b'{"n": 1e999,\r\n "text": "\xc3\xbc",\n "classification":%b}' % classification
    kafka.produce(f"{topics}high", [Message(value)])

    assert main(["tail", *flags(kafka, topics, "--json", "--no-follow", "--last", "1")]) == 0

    assert capfd.readouterr().out.encode() == value.replace(b"\r\n", b"  ").replace(b"\n", b" ") + b"\n"


def test_what_is_no_labelled_message_is_left_out(
    kafka: Kafka, topics: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """What someone else wrote to a routed topic is named once, and keeps nothing else from being shown."""
    kafka.produce(f"{topics}high", [Message(b"x"), labelled("good"), Message(b"y")])

    assert main(["tail", *flags(kafka, topics, "--from-beginning", "--no-follow")]) == 0

    printed = capfd.readouterr()
    assert re.fullmatch(r"\d\d-\d\d \d\d:\d\d:\d\d high   1  90% good\n", printed.out)
    assert len(re.findall(rf"offset \d of {topics}high-\d is no labelled message", printed.err)) == 1


def test_nothing_is_left_behind(kafka: Kafka, topics: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Following makes no group and no topic."""
    kafka.produce(f"{topics}high", [labelled("good")])
    with KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers) as admin:
        before = kafka.topics(), {group["group_id"] for group in admin.list_groups()}
        assert shown(capfd, kafka, topics, "--last", "1") == ["good"]
        assert before == (kafka.topics(), {group["group_id"] for group in admin.list_groups()})


def test_it_follows_new_partitions_and_topics(
    kafka: Kafka, topics: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes is shown, also in partitions and topics of a split that were not there at first."""
    monkeypatch.setattr(reading, "LOOK_SECONDS", 0.1)
    kafka.produce(f"{topics}high", [labelled("before")])
    settings = parse(flags(kafka, topics, "--urgency", "high"))
    with (
        contextlib.closing(clients.onlooker(settings)) as consumer,
        contextlib.closing(KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)) as admin,
    ):
        followed = RoutedTopics(consumer, admin, topics, settings.urgencies)
        followed.look()
        followed.start(followed.ends())
        coming = texts(followed.forever(pytest.fail))

        kafka.produce(f"{topics}high", [labelled("after")])
        kafka.produce(f"{topics}low", [labelled("of another urgency", "low")])
        assert next(coming) == "after"
        admin.create_partitions({f"{topics}high": NewPartitions(4)})
        kafka.create_topics(f"{topics}high.books", f"{topics}highest")
        in_new_partition = labelled("in a new partition")
        kafka.produce(f"{topics}high", [Message(in_new_partition.value, partition=3)])
        kafka.produce(f"{topics}highest", [labelled("of another route")])
        kafka.produce(f"{topics}high.books", [labelled("in a new topic")])
        assert {next(coming), next(coming)} == {"in a new partition", "in a new topic"}
        kafka.produce(f"{topics}high", [labelled("at last")])
        assert next(coming) == "at last"


def texts(batches: Iterator[list[Any]]) -> Iterator[str]:
    """The texts of the records as they come, within SECONDS."""
    deadline = time.monotonic() + SECONDS
    for batch in batches:
        for record in batch:
            message = routed(record, "text")
            assert message is not None
            yield message.text
        assert time.monotonic() < deadline


def test_it_waits_for_a_kafka_that_is_away(
    kafka: Kafka, topics: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While Kafka does not answer it says so once, and once when it does again, and goes on."""
    monkeypatch.setattr(reading, "LOOK_SECONDS", 0.0)
    said: list[str] = []
    settings = parse(flags(kafka, topics))
    with (
        contextlib.closing(clients.onlooker(settings)) as consumer,
        contextlib.closing(KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)) as admin,
    ):
        followed = RoutedTopics(consumer, admin, topics, settings.urgencies)
        followed.look()
        look, tries = followed.look, iter([True, True, False])

        def away() -> None:
            if next(tries, False):
                raise KafkaConnectionError("refused")
            look()

        monkeypatch.setattr(followed, "look", away)
        coming = followed.forever(said.append)
        for _ in range(5):
            next(coming)
        kafka.produce(f"{topics}high", [labelled("again")])
        assert next(texts(coming)) == "again"

    assert said == [
        "no answer from Kafka (KafkaConnectionError: refused); waiting for it",
        "Kafka answers again",
    ]


def test_ctrl_c_ends_it_quietly(
    kafka: Kafka, topics: str, tail: Callable[..., subprocess.Popen[str]]
) -> None:
    """Ctrl-C ends with 130, and says nothing."""
    kafka.produce(f"{topics}high", [labelled("good")])
    process = tail("--last", "1")
    assert process.stdout is not None
    assert process.stdout.readline().endswith(" good\n")

    process.send_signal(signal.SIGINT)

    assert process.communicate(timeout=SECONDS) == ("", "")
    assert process.returncode == 130


def test_reader_that_is_gone_ends_it_quietly(
    kafka: Kafka, topics: str, tail: Callable[..., subprocess.Popen[str]]
) -> None:
    """When `head` has enough, it ends with 141 and says nothing, even if no other message comes."""
    kafka.produce(f"{topics}high", [labelled("good")])
    process = tail("--last", "1", "--json")
    assert process.stdout is not None
    head = subprocess.run(
        ["head", "-n", "1"], stdin=process.stdout, capture_output=True, timeout=SECONDS, check=True
    )
    process.stdout.close()

    assert json.loads(head.stdout)["text"] == "good"
    assert process.wait(SECONDS) == 141
    assert process.stderr is not None
    assert process.stderr.read() == ""


@pytest.mark.parametrize(
    ("variables", "urgency"), [({}, "\x1b[1;31mhigh  \x1b[0m"), ({"NO_COLOR": "1"}, "high  ")]
)
def test_line_on_a_terminal(
    kafka: Kafka,
    topics: str,
    tail: Callable[..., subprocess.Popen[str]],
    variables: dict[str, str],
    urgency: str,
) -> None:
    """On a terminal a line fits its width, and the urgency is coloured unless NO_COLOR is set."""
    kafka.produce(f"{topics}high", [labelled("漢字 \x1b[2J" * 40)])
    inside = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")}
    terminal, other_end = pty.openpty()
    fcntl.ioctl(other_end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 50, 0, 0))
    process = tail(
        *("--last", "1", "--no-follow"), stdout=other_end, env={**inside, "TERM": "xterm", **variables}
    )
    assert process.wait(SECONDS) == 0
    os.close(other_end)
    line = os.read(terminal, 4096).decode()
    os.close(terminal)

    when, rest = line[:15], line[15:]
    assert rest.startswith(f"{urgency} 1  90% 漢字 [2J漢")
    assert 48 <= width(when + rest.replace(urgency, "high  ").removesuffix("\r\n")) <= 50
    assert rest.endswith("…\r\n")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--bootstrap-servers", "127.0.0.1:1"], 1, "Kafka at 127.0.0.1:1 refuses or does not answer ("),
        (["--output-prefix", "nowhere."], 5, "no topic nowhere.high, nowhere.medium, nowhere.low that"),
    ],
)
def test_what_cannot_be_followed_is_said(
    kafka: Kafka, prefix: str, capfd: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
) -> None:
    """Without Kafka or without topics it ends with the service's code for that, and one sentence."""
    assert main(["tail", *flags(kafka, prefix), *arguments]) == code

    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("consumer tail: ")
    assert printed.err.count("\n") == 1
    assert words in printed.err
