"""A stretch of history is labelled again, as a user does it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kafka import KafkaConsumer
from kafka.admin import KafkaAdminClient
from kafka.structs import OffsetAndMetadata, TopicPartition

from tests.conftest import comments
from tests.integration.conftest import Kafka, Message
from tests.integration.consumer.conftest import URGENCIES, Consumer

Start = Callable[..., Consumer]
Replay = Callable[..., subprocess.Popen[str]]

# The day before the tests' day: nothing that Kafka would delete, and over.
BEGIN = int(time.time()) // 86_400 * 86_400_000 - 86_400_000
HOUR = 3_600_000
PARTITIONS = 3


def moment(milliseconds: int) -> str:
    """A time as the command line takes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(milliseconds / 1000))


@pytest.fixture
def replay(kafka: Kafka, prefix: str, tiny_bundle: Path) -> Iterator[Replay]:
    """Starts a replay of hours 1 to 3 of the day before into `<prefix>again.`; those left are killed."""
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str, since: int = 1, until: int = 3) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "consumer", "replay", "--bundle", str(tiny_bundle)]
        command += ["--bootstrap-servers", kafka.bootstrap_servers, "--input-topic", f"{prefix}comments"]
        command += ["--from", moment(BEGIN + since * HOUR), "--to", moment(BEGIN + until * HOUR)]
        command += ["--output-prefix", f"{prefix}again.", "--create-topics", "--threads", "1"]
        command += ["--metrics-host", "127.0.0.1", "--log-format", "text"]
        command += ["--session-timeout-seconds", "6", "--transaction-timeout-seconds", "3", *arguments]
        # What a container of the running consumer has in its environment.
        running = {"CONSUMER_GROUP_ID": f"{prefix}group", "CONSUMER_OUTPUT_PREFIX": prefix}
        started.append(
            subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **running})
        )
        return started[-1]

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def outputs(prefix: str) -> list[str]:
    """The topics that a replay writes."""
    return [f"{prefix}again.{name}" for name in (*URGENCIES, "dead-letter")]


def history(kafka: Kafka, prefix: str, *, each_hour: int) -> list[int]:
    """Send comments of hours 0 to 3, one of them bad; give the numbers of those in hours 1 and 2."""
    texts = comments(100, seed=8)
    kafka.create_topics(f"{prefix}comments", partitions=PARTITIONS)
    messages = [
        Message(
            json.dumps({"number": n, "text": texts[n % 100] if n != each_hour else 5}).encode(),
            timestamp_ms=BEGIN + n * HOUR // each_hour,
            partition=n % PARTITIONS,
        )
        for n in range(4 * each_hour)
    ]
    kafka.produce(f"{prefix}comments", messages)
    return list(range(each_hour, 3 * each_hour))


def numbers(records: list[object]) -> Counter[int]:
    """How often each comment is among the records."""
    return Counter(json.loads(record.value)["number"] for record in records)  # type: ignore[attr-defined]


def wait_for(kafka: Kafka, topics: list[str], process: subprocess.Popen[str]) -> None:
    """Wait until the process has made the topics."""
    deadline = time.monotonic() + 60
    while not set(topics) <= kafka.topics():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_stretch_and_nothing_else(kafka: Kafka, prefix: str, start: Start, replay: Replay) -> None:
    """Exactly the messages from one time to the other are labelled again, beside a consumer that goes on."""
    wanted = history(kafka, prefix, each_hour=100)
    running = start()
    running.wait_ready()
    process = replay()
    _, log = process.communicate(timeout=90)
    assert process.returncode == 0, log

    assert numbers(kafka.read(*outputs(prefix), count=len(wanted))) == Counter(wanted), log
    letters = kafka.read(f"{prefix}again.dead-letter", count=1)
    assert [json.loads(letter.value)["number"] for letter in letters] == [100]
    # The running one has labelled all, once.
    assert numbers(kafka.read(*running.outputs, count=400)) == Counter(range(400))
    assert running.stop() == 0


def test_interrupted_and_gone_on(kafka: Kafka, prefix: str, replay: Replay) -> None:
    """A replay that is interrupted ends with 130, and the same command labels what is left, once."""
    wanted = history(kafka, prefix, each_hour=2000)
    slow = ("--max-batch-messages", "50")
    process = replay(*slow)
    wait_for(kafka, outputs(prefix), process)
    first = kafka.read(*outputs(prefix)[:1], count=1)
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=60)
    assert process.returncode == 130, log
    assert "the same command goes on" in log
    before = sum(numbers(kafka.read(*outputs(prefix), count=1)).values())
    assert first
    assert 0 < before < len(wanted)

    process = replay()
    _, log = process.communicate(timeout=120)
    assert process.returncode == 0, log
    assert f"4,000 messages to label again, {before:,} of them done before" in log
    assert numbers(kafka.read(*outputs(prefix), count=len(wanted))) == Counter(wanted)

    process = replay()
    _, log = process.communicate(timeout=60)
    assert process.returncode == 0, log
    assert "4,000 messages to label again, 4,000 of them done before" in log


def test_topic_made_again_meanwhile(kafka: Kafka, prefix: str, replay: Replay) -> None:
    """Of a topic that is deleted and made again nothing is labelled: its history is another."""
    history(kafka, prefix, each_hour=2000)
    process = replay("--max-batch-messages", "50")
    wait_for(kafka, outputs(prefix), process)
    kafka.read(*outputs(prefix)[:1], count=1)
    process.send_signal(signal.SIGSTOP)
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    try:
        admin.delete_topics([f"{prefix}comments"])
    finally:
        admin.close()
    new = [json.dumps({"number": 9999, "text": "late"}).encode()] * 6000
    kafka.create_topics(f"{prefix}comments", partitions=PARTITIONS)
    kafka.produce(
        f"{prefix}comments",
        [Message(value, partition=n % PARTITIONS, timestamp_ms=BEGIN) for n, value in enumerate(new)],
    )
    process.send_signal(signal.SIGCONT)

    _, log = process.communicate(timeout=60)
    assert process.returncode == 10, log
    assert "choose another --group-id" in log
    # Kafka forgets what was committed of a topic that is gone, sooner or later: here it has not yet.
    _, _, group = log.partition("the group of this replay is ")
    commit(
        kafka, group.split()[0], OffsetAndMetadata(5, "the id of the topic before", -1), f"{prefix}comments"
    )
    again = replay()
    _, log = again.communicate(timeout=60)
    assert again.returncode == 10, log
    assert 9999 not in numbers(kafka.read(*outputs(prefix), count=1))


def commit(kafka: Kafka, group: str, offset: OffsetAndMetadata, topic: str) -> None:
    """Commit an offset of the topic's first partition for a group that nobody is in."""
    consumer = KafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers, group_id=group, enable_auto_commit=False
    )
    try:
        consumer.assign([TopicPartition(topic, 0)])
        consumer.commit({TopicPartition(topic, 0): offset})
    finally:
        consumer.close()


def test_two_share_the_work(kafka: Kafka, prefix: str, replay: Replay) -> None:
    """Started twice at the same time, every message is labelled again once."""
    wanted = history(kafka, prefix, each_hour=500)
    both = [replay("--max-batch-messages", "50") for _ in range(2)]
    assert [process.wait(120) for process in both] == [0, 0]
    assert numbers(kafka.read(*outputs(prefix), count=len(wanted))) == Counter(wanted)


def test_a_stretch_without_messages(kafka: Kafka, prefix: str, replay: Replay) -> None:
    """Where nothing came in, it ends at once and says so."""
    history(kafka, prefix, each_hour=10)
    process = replay(since=5, until=6)
    _, log = process.communicate(timeout=60)
    assert process.returncode == 0, log
    assert "0 messages to label again" in log
