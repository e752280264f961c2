"""The commands of deploy.local on a real broker."""

import contextlib
import io
import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata
from rich.console import Console

from deploy.local.__main__ import main
from deploy.local.broker import Broker
from deploy.local.errors import DemoFailed, TopicsMissing
from deploy.local.produce import Comment, Sender
from deploy.local.routed import Routed, RoutedTopics
from deploy.local.service import ConsumerProcess
from deploy.local.stream import BAD, stream
from deploy.local.watch import group_lag
from tests.integration.conftest import Kafka, Message

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """The commands handle signals; pytest gets its own back."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def labelled(text: str, label: str, confidence: float) -> bytes:
    """The value of a labelled message."""
    return json.dumps({"text": text, "classification": {"label": label, "confidence": confidence}}).encode()


def test_produced_file_is_in_the_topic(
    kafka: Kafka, prefix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`produce FILE` puts each comment into the topic with its key, and says how many there are."""
    path = tmp_path / "reviews.tsv"
    path.write_text("review_id\treview_body\tstar_rating\nR1\tlate\t1\nR2\t\t3\nR3\tgood\t5\nR4\tmore\t4\n")
    kafka.create_topics(f"{prefix}comments")

    command = ["produce", str(path), "--topic", f"{prefix}comments", "--limit", "2"]
    assert main([*command, "--bootstrap-servers", kafka.bootstrap_servers]) == 0
    records = kafka.read(f"{prefix}comments", count=2)

    assert {record.key: json.loads(record.value) for record in records} == {
        b"R1": {"review_id": "R1", "star_rating": "1", "text": "late"},
        b"R3": {"review_id": "R3", "star_rating": "5", "text": "good"},
    }
    assert "2 comments are in the topic" in capsys.readouterr().out


def test_producing_into_no_topic_is_one_sentence(
    kafka: Kafka, prefix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`produce` into a topic that does not exist ends with exit code 1 and a sentence that names it."""
    path = tmp_path / "reviews.tsv"
    path.write_text("review_body\nlate\n")

    command = ["produce", str(path), "--topic", f"{prefix}none"]
    assert main([*command, "--bootstrap-servers", kafka.bootstrap_servers]) == 1
    assert f"no topic {prefix}none" in capsys.readouterr().err


def test_broker_that_does_not_answer_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`produce` to a port where nobody listens ends with exit code 1 and a sentence that names it."""
    path = tmp_path / "reviews.tsv"
    path.write_text("review_body\nlate\n")

    assert main(["produce", str(path), "--bootstrap-servers", "127.0.0.1:1"]) == 1
    assert "127.0.0.1:1" in capsys.readouterr().err


def test_routed_messages_are_read_from_every_lane(kafka: Kafka, prefix: str) -> None:
    """Labelled messages and dead letters come with their lane, most urgent lane first, dead letters last."""
    lanes = ["high", "medium", "low", "dead-letter"]
    kafka.create_topics(*(f"{prefix}{lane}" for lane in reversed(lanes)))
    kafka.produce(f"{prefix}high", [Message(labelled("late", "1", 0.9), b"1")])
    kafka.produce(f"{prefix}dead-letter", [Message(b"{", b"2", [("error.reason", b"not-json")])])
    with contextlib.closing(RoutedTopics(kafka.bootstrap_servers, prefix, from_beginning=True)) as routed:
        messages: list[Routed] = []
        while not routed.at_end():
            messages += routed.poll(0.1)

    assert routed.lanes == lanes
    assert {message.lane: message for message in messages} == {
        "high": Routed("high", b"1", "late", "1", 0.9),
        "dead-letter": Routed("dead-letter", b"2", "{", "not-json", 0.0),
    }


def test_aborted_message_is_not_shown(kafka: Kafka, prefix: str) -> None:
    """A message whose transaction was aborted never counts as routed; the one sent again does."""
    kafka.create_topics(f"{prefix}high")
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap_servers, transactional_id=f"{prefix}producer")
    with contextlib.closing(producer):
        producer.init_transactions()
        for finish in producer.abort_transaction, producer.commit_transaction:
            producer.begin_transaction()
            producer.send(f"{prefix}high", labelled(finish.__name__, "1", 0.9)).get(10)
            finish()
    with contextlib.closing(RoutedTopics(kafka.bootstrap_servers, prefix, from_beginning=True)) as routed:
        messages: list[Routed] = []
        while not routed.at_end():
            messages += routed.poll(0.1)

    assert [message.text for message in messages] == ["commit_transaction"]


def test_following_starts_now(kafka: Kafka, prefix: str) -> None:
    """Without `from_beginning`, only what is published from now on is shown."""
    kafka.create_topics(f"{prefix}high")
    kafka.produce(f"{prefix}high", [Message(labelled("before", "1", 0.9))])
    with contextlib.closing(RoutedTopics(kafka.bootstrap_servers, prefix, from_beginning=False)) as routed:
        assert routed.at_end()
        kafka.produce(f"{prefix}high", [Message(labelled("after", "1", 0.9))])

        assert [message.text for message in routed.poll(10)] == ["after"]


def test_missing_topics_are_told(kafka: Kafka, prefix: str) -> None:
    """Without a single routed topic, the error says what makes them."""
    with pytest.raises(TopicsMissing, match="--create-topics"):
        RoutedTopics(kafka.bootstrap_servers, prefix, from_beginning=True)


def test_lag_is_what_the_group_has_not_committed(kafka: Kafka, prefix: str) -> None:
    """Three messages wait for a group that has committed nothing, one after it has committed two."""
    topic, group_id = f"{prefix}comments", f"{prefix}group"
    kafka.create_topics(topic, partitions=2)
    kafka.produce(topic, [Message(b"{}", partition=0)] * 2 + [Message(b"{}", partition=1)])
    with contextlib.closing(
        KafkaConsumer(bootstrap_servers=kafka.bootstrap_servers, group_id=group_id)
    ) as group:
        before = group_lag(group, topic)
        group.assign([TopicPartition(topic, 0)])
        group.commit({TopicPartition(topic, 0): OffsetAndMetadata(2, "", -1)})
        after = group_lag(group, topic)

    assert (before, after) == (3, 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_kafka_command_leaves_nothing_behind(number: signal.Signals, tmp_path: Path) -> None:
    """Ctrl-C and SIGTERM end `kafka` with exit code 130 and Java with it."""
    command = [
        sys.executable,
        "-m",
        "deploy.local",
        "kafka",
        "--port",
        "0",
        "--data-directory",
        str(tmp_path),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert process.stdout is not None
        assert "Apache Kafka listens on 127.0.0.1:" in process.stdout.readline()
        [java] = psutil.Process(process.pid).children()
        process.send_signal(number)
        assert process.wait(30) == 130
        assert not java.is_running()
    finally:
        process.kill()
        process.communicate()


def test_demo_counts_every_comment_out(broker: Broker, tiny_bundle: Path, tmp_path: Path) -> None:
    """Through a real consumer each comment of the sample comes out once, the bad ones as dead letters."""
    screen = Console(file=io.StringIO(), width=100)
    with ConsumerProcess(tiny_bundle, broker, tmp_path / "consumer.log") as consumer:
        consumer.wait_until_ready()
        account, results = stream(screen, broker, consumer, None, 20, Counter())

    assert (account.sent, account.waiting, account.surplus) == (20 + len(BAD), 0, 0)
    assert account.came["dead-letter"] == len(BAD)
    assert [result.comments for result in results] == [10 + len(BAD), 10]
    assert all(0 < result.p50 <= result.p99 for result in results)


def test_sender_whose_broker_is_gone_closes(prefix: str) -> None:
    """Closing a sender that cannot send any more raises nothing, which would hide why it is closed."""
    comment = Comment(b"1", b'{"text": "late"}')
    with Broker() as broker:
        Kafka(broker.bootstrap_servers).create_topics(f"{prefix}comments")
        sender = Sender(broker.bootstrap_servers, f"{prefix}comments")
        sender.send([comment])
        sender.flush()
        broker.kill()
        sender.send([comment])

        sender.close()


def test_consumer_that_ends_is_told(broker: Broker, tmp_path: Path) -> None:
    """When the consumer cannot start, the error gives its exit code, its last words and its log."""
    log = tmp_path / "consumer.log"
    with (
        ConsumerProcess(tmp_path / "no-bundle", broker, log) as consumer,
        pytest.raises(DemoFailed, match=f"exit code 3.*no-bundle.*{log}"),
    ):
        consumer.wait_until_ready()


def test_interrupted_demo_leaves_nothing_behind(tmp_path: Path) -> None:
    """SIGTERM while the model is being made ends the demo with exit code 130, the broker and fine-tuning."""
    command = [sys.executable, "-u", "-m", "deploy.local", "demo", "--directory", str(tmp_path / ".demo")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert process.stdout is not None
        assert any("$ python -m finetune" in line for line in process.stdout)
        children = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        assert process.wait(60) == 130
        assert len(children) >= 1
        _, alive = psutil.wait_procs(children, 10)
        assert alive == []
    finally:
        process.kill()
        process.communicate()
