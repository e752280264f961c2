"""`doctor` on a broker that lets everyone do everything."""

import json
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient
from kafka.admin import NewTopic

from consumer.connection import read
from consumer.doctor.command import OF_KAFKA, OF_THIS_MACHINE, findings, main
from consumer.doctor.finding import Finding
from consumer.doctor.settings import DoctorSettings
from tests.integration.conftest import Kafka, Message
from tests.integration.consumer.conftest import Consumer

TOPICS = ("comments", "high", "medium", "low", "dead-letter")
DAY_MS = 86_400_000


@pytest.fixture
def flags(kafka: Kafka, prefix: str, tiny_bundle: Path) -> list[str]:
    """The flags of a deployment of this test's topics."""
    return [
        *("--bundle", str(tiny_bundle), "--bootstrap-servers", kafka.bootstrap_servers),
        *("--input-topic", f"{prefix}comments", "--output-prefix", prefix, "--group-id", f"{prefix}group"),
        *("--metrics-port", "0", "--device", "cpu", "--threads", "1", "--micro-batch-tokens", "256"),
    ]


def look(flags: list[str], *arguments: str) -> dict[str, Finding]:
    """What doctor finds, by check."""
    found = findings(read(DoctorSettings, [*flags, *arguments]))
    return {finding.check: finding for finding in found}


def make(kafka: Kafka, name: str, **configuration: str) -> None:
    """Make a topic with settings of its own."""
    topic = NewTopic(name, 1, 1, topic_configs={key.replace("_", "."): v for key, v in configuration.items()})
    with KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers) as admin:
        admin.create_topics([topic])
        admin.wait_for_topics([name])


def test_good_deployment(
    kafka: Kafka, prefix: str, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Where all is well every check has a line, nothing fails, and it ends with 0; so as JSON."""
    kafka.create_topics(*(f"{prefix}{name}" for name in TOPICS), partitions=2)

    assert main(flags) == 0
    lines = capsys.readouterr().out.splitlines()
    assert main([*flags, "--json", "--no-check-model"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert [line[:4] for line in lines[:-1] if not line.startswith("OK  ")] == ["WARN", "SKIP"]
    assert lines[-1] == f"0 FAIL, 1 WARN, {len(lines) - 3} OK, 1 SKIP"
    assert [finding["check"] for finding in found] == [re.split(" {2,}", line)[1] for line in lines[:-1]]
    assert set(found[0]) == {"verdict", "check", "found", "advice"}
    by_check = {finding["check"]: finding for finding in found}
    assert by_check[f"topic {prefix}high"]["found"].startswith(
        "WRITE is granted, 2 partitions, 1 copy, kept for"
    )
    assert by_check["clock"]["found"] == "within 2 s of Kafka's"
    assert by_check["golden comments"]["found"] == "not checked: --no-check-model"


def test_nothing_answers(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Without Kafka each server fails for its own reason, and what needs none is checked all the same."""
    servers = ["--bootstrap-servers", "127.0.0.1:1,nowhere.invalid:9092"]

    assert main([*flags, *servers, "--no-check-model"]) == 1

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("FAIL  broker 127.0.0.1:1 ")
    assert lines[0].endswith("refuses connections; start the broker, or correct host and port")
    assert lines[1].startswith("FAIL  broker nowhere.invalid:9092")
    assert "the name does not resolve (" in lines[1]
    unchecked = [line for line in lines if line.endswith("not checked: no broker lets us in")]
    assert [line.split()[0] for line in unchecked] == ["SKIP"] * len(OF_KAFKA)
    assert all(any(name in line for line in lines) for name in OF_THIS_MACHINE)


def test_broker_that_never_answers(flags: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes the connection and says nothing is given up after a while."""
    monkeypatch.setattr("consumer.handshake.TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = f"127.0.0.1:{silent.getsockname()[1]}"
        found = look(flags, "--bootstrap-servers", server, "--no-check-model")

    assert found[f"broker {server}"].found == "does not answer within 0.2 s"


@pytest.mark.parametrize(
    ("name", "configuration", "verdict", "words"),
    [
        ("comments", {"retention_ms": "3600000"}, "WARN", "kept for 60 min"),
        ("comments", {"cleanup_policy": "compact"}, "WARN", "a comment can be lost unread"),
        ("high", {"retention_ms": "3600000"}, "WARN", "timestamps up to 24 h old (--max-timestamp-age)"),
        ("low", {"cleanup_policy": "compact"}, "WARN", "it refuses those without"),
        ("dead-letter", {"cleanup_policy": "compact,delete"}, "FAIL", "it refuses those without"),
        ("medium", {"max_message_bytes": "9000"}, "WARN", "or pass --max-message-bytes 8000"),
        ("medium", {"retention_ms": "-1"}, "OK", "kept for ever"),
        ("high", {"min_insync_replicas": "2"}, "FAIL", "min.insync.replicas 2, and partition 0 has fewer"),
    ],
)
def test_settings_of_a_topic(
    kafka: Kafka,
    prefix: str,
    flags: list[str],
    name: str,
    configuration: dict[str, str],
    verdict: str,
    words: str,
) -> None:
    """A topic's own settings are compared with the service's, and what does not fit is said with both."""
    make(kafka, f"{prefix}{name}", **configuration)

    finding = look(flags, "--no-check-model")[f"topic {prefix}{name}"]

    assert finding.verdict == verdict
    assert words in f"{finding.found}; {finding.advice}"


def test_settings_of_a_topic_that_ours_fit(kafka: Kafka, prefix: str, flags: list[str]) -> None:
    """The advice mends it: with the settings that it names there is nothing to say."""
    make(kafka, f"{prefix}high", retention_ms="3600000", max_message_bytes="9000")

    finding = look(flags, "--max-message-bytes", "8000", "--max-timestamp-age", "3599", "--no-check-model")

    assert finding[f"topic {prefix}high"].verdict == "OK"


def test_limits_of_the_brokers(flags: list[str]) -> None:
    """A timeout that the brokers do not allow fails, with the limit and the setting."""
    arguments = ["--transaction-timeout-seconds", "1000", "--session-timeout-seconds", "2000"]

    finding = look(flags, *arguments, "--stall-seconds", "3000", "--no-check-model")["limits of the brokers"]

    assert finding.verdict == "FAIL"
    assert "transaction.max.timeout.ms 900,000" in finding.found
    assert "--transaction-timeout-seconds 1000 is above it" in finding.advice
    assert "--session-timeout-seconds 2000 is above it" in finding.advice


def test_it_disturbs_no_running_consumer(
    kafka: Kafka,
    prefix: str,
    flags: list[str],
    start: Callable[..., Consumer],
) -> None:
    """Beside a consumer with a fixed transactional id it finds all well, and fences it not."""
    kafka.create_topics(f"{prefix}comments", partitions=1)
    consumer = start("--transactional-id", f"{prefix}mine")
    consumer.wait_ready()
    kafka.produce(f"{prefix}comments", [Message(b'{"text": "late delivery"}')])
    assert len(kafka.read(*consumer.outputs, count=1)) == 1
    before = transactions_and_groups(kafka)

    for _ in range(3):
        found = look(flags, "--transactional-id", f"{prefix}mine", "--no-check-model")
    kafka.produce(f"{prefix}comments", [Message(b'{"text": "great kettle"}')])

    assert [finding for finding in found.values() if finding.verdict == "FAIL"] == []
    assert found[f"group {prefix}group"].found == "READ is granted, 1 member"
    assert transactions_and_groups(kafka) == before
    assert len(kafka.read(*consumer.outputs, count=2)) == 2
    assert consumer.stop() == 0
    unwell = [line for line in consumer.raw_log() if '"level":"info"' not in line]
    # On a busy machine kafka-python warns of its own pace.
    assert [line for line in unwell if "blocking the event loop" not in line] == []


def transactions_and_groups(kafka: Kafka) -> tuple[set[tuple[str, Any]], set[str]]:
    """The transactional ids with their producer ids, and the groups, that the broker knows."""
    with KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers) as admin:
        transactions = {
            (each.transactional_id, each.producer_id)
            for of_broker in admin.list_transactions().values()
            for each in of_broker
        }
        return transactions, {group["group_id"] for group in admin.list_groups()}


def test_more_members_than_partitions(
    kafka: Kafka,
    prefix: str,
    flags: list[str],
    start: Callable[..., Consumer],
) -> None:
    """A member without a partition is a warning, and so are workers that will have none."""
    kafka.create_topics(f"{prefix}comments", partitions=1)
    for consumer in (start(), start()):
        consumer.wait_ready()

    found = look(flags, "--no-check-model", "--workers", "3")

    group, topic = found[f"group {prefix}group"], found[f"topic {prefix}comments"]
    assert (group.verdict, topic.verdict) == ("WARN", "WARN")
    assert f"2 members for 1 partition of {prefix}comments" in group.found
    assert "1 of them have nothing to do" in group.advice
    assert "2 of 3 workers have nothing to do" in topic.advice


def test_consumer_on_its_port(
    kafka: Kafka,
    prefix: str,
    flags: list[str],
    start: Callable[..., Consumer],
) -> None:
    """A port that a consumer of ours listens on is no fault."""
    consumer = start()
    consumer.wait_ready()
    port = consumer._ports()[0]

    found = look(flags, "--metrics-port", port, "--metrics-host", "127.0.0.1", "--no-check-model")

    assert found["metrics port"] == Finding(
        "OK", "metrics port", "held by an urgency-router that runs here and is ready"
    )
