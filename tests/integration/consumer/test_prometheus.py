"""A real Prometheus scrapes consumers under load, with the rules and the dashboard's queries as they are."""

import itertools
import json
import math
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.grafana.dashboard import PATH as DASHBOARD
from deploy.grafana.promql import RULES
from tests.conftest import comments
from tests.integration.conftest import Kafka, Message
from tests.integration.consumer.conftest import Consumer

Start = Callable[..., Consumer]

WAIT_SECONDS = 90.0

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="needs Prometheus, of Debian's package prometheus"
)


class Prometheus:
    """One `prometheus`, which scrapes these ports every second and follows the rules."""

    def __init__(self, directory: Path, ports: list[int]) -> None:
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [
                {
                    "job_name": "urgency-router",
                    "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in ports]}],
                }
            ],
        }
        (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
        self._log = directory / "prometheus.log"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._base = f"http://127.0.0.1:{free.getsockname()[1]}"
        command = ["prometheus", f"--config.file={directory / 'prometheus.yml'}"]
        command += [f"--storage.tsdb.path={directory / 'data'}"]
        command += [f"--web.listen-address={self._base.removeprefix('http://')}"]
        with self._log.open("wb") as file:
            self._process = subprocess.Popen(command, stdout=file, stderr=file)

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()

    def wait_ready(self) -> None:
        """Return once it answers."""
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            try:
                urllib.request.urlopen(f"{self._base}/-/ready", timeout=10)
                return
            except urllib.error.URLError:
                time.sleep(0.05)

    def rules(self) -> list[dict[str, Any]]:
        """Every rule, as it was last evaluated."""
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def answers(self, expression: str) -> bool:
        """Whether an expression gives a number now; an error fails the test."""
        result = self._get("query", query=expression)["result"]
        return any(not math.isnan(float(sample["value"][1])) for sample in result)

    def _get(self, path: str, **arguments: str) -> Any:
        try:
            url = f"{self._base}/api/v1/{path}?{urllib.parse.urlencode(arguments)}"
            answer = json.loads(urllib.request.urlopen(url, timeout=30).read())
        except urllib.error.HTTPError as error:
            pytest.fail(f"{arguments}: {error.read().decode()}")
        assert answer["status"] == "success"
        return answer["data"]


@pytest.fixture
def prometheus(
    start: Start, kafka: Kafka, prefix: str, tiny_bundle: Path, tmp_path: Path
) -> Iterator[Prometheus]:
    """A Prometheus that scrapes two ready consumers of one group, with a shadow model and with workers."""
    kafka.create_topics(f"{prefix}comments", partitions=6)
    consumers = [
        start("--shadow-bundle", str(tiny_bundle), "--shadow-share", "1"),
        start("--workers", "2"),
    ]
    for consumer in consumers:
        consumer.wait_ready()
    server = Prometheus(tmp_path, [consumer.port for consumer in consumers])
    try:
        server.wait_ready()
        yield server
    finally:
        server.close()


def panels() -> dict[str, str]:
    """The dashboard's queries, its variables chosen as they are when it is opened."""
    asked = {
        f"panel {panel['title']!r}, {target['refId']}": target["expr"]
        for panel in json.loads(DASHBOARD.read_text())["panels"]
        for target in panel.get("targets", ())
    }
    chosen = {"$namespace": ".*", "$job": ".*", "$instance": ".*", "$__rate_interval": "1m", "$__range": "5m"}
    return {name: _replaced(expression, chosen) for name, expression in asked.items()}


def variables() -> dict[str, str]:
    """The series from which the dashboard's variables take their values, all chosen in those before."""
    listed = json.loads(DASHBOARD.read_text())["templating"]["list"]
    asked = {
        variable["name"]: variable["query"]["query"] for variable in listed if variable["type"] == "query"
    }
    chosen = {"$namespace": ".*", "$job": ".*"}
    series = {name: re.fullmatch(r"label_values\((.*), \w+\)", text) for name, text in asked.items()}
    return {f"variable {name}": _replaced(found[1], chosen) for name, found in series.items() if found}


def recorded() -> dict[str, str]:
    """What the rules record."""
    return {f"rule {rule['record']}": rule["record"] for rule in _rules() if "record" in rule}


def alerts() -> dict[str, str]:
    """The alerts, as questions that are answered with 0 or 1 rather than with nothing or something."""
    comparison = re.compile(r" ([<>]=?|==) ")
    return {
        f"alert {rule['alert']}": comparison.sub(r" \1 bool ", rule["expr"])
        for rule in _rules()
        if "alert" in rule
    }


def _rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def _replaced(expression: str, chosen: dict[str, str]) -> str:
    for variable, value in chosen.items():
        expression = expression.replace(variable, value)
    return expression


def test_every_question_has_an_answer(prometheus: Prometheus, kafka: Kafka, prefix: str) -> None:
    """Each panel's query, each rule and each alert gives numbers while comments come, and none an error."""
    questions = panels() | variables() | recorded() | alerts()
    texts = itertools.cycle(comments(1000, seed=9))
    deadline = time.monotonic() + WAIT_SECONDS
    unanswered = questions
    while unanswered:
        assert time.monotonic() < deadline, f"no answer: {unanswered}"
        load = [Message(json.dumps({"text": next(texts)}).encode()) for _ in range(95)]
        kafka.produce(f"{prefix}comments", [*load, *[Message(b"not JSON")] * 5])
        unanswered = {name: asked for name, asked in questions.items() if not prometheus.answers(asked)}

    assert {rule["name"]: rule["lastError"] for rule in prometheus.rules() if rule["health"] != "ok"} == {}
