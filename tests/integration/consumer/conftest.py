"""The consumer as a user starts it: a process of its own, on the session's broker."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from consumer.window import Window
from tests.conftest import LABELS, MAX_LENGTH, comments
from tests.integration.conftest import Kafka

URGENCIES = ("high", "medium", "low")
START_SECONDS = 60.0


class Consumer:
    """One `python -m consumer`.

    It reads `<prefix>comments` and writes `<prefix>high` and so on, in the group `<prefix>group`.
    """

    def __init__(self, kafka: Kafka, bundle: Path, prefix: str, log: Path, *arguments: str) -> None:
        self.outputs = [f"{prefix}{name}" for name in (*URGENCIES, "dead-letter")]
        self._log = log
        command = [sys.executable, "-m", "consumer", "--bundle", str(bundle)]
        command += ["--bootstrap-servers", kafka.bootstrap_servers, "--group-id", f"{prefix}group"]
        command += ["--input-topic", f"{prefix}comments", "--output-prefix", prefix, "--metrics-port", "0"]
        command += ["--metrics-host", "127.0.0.1", "--create-topics", "--threads", "1"]
        # A killed consumer's partitions and transaction are free again within seconds.
        command += ["--session-timeout-seconds", "6", "--transaction-timeout-seconds", "3"]
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [*command, *arguments], stdout=file, stderr=file, env={**os.environ, "PYTHONUNBUFFERED": "1"}
            )

    def log_lines(self) -> list[str]:
        """The messages logged so far."""
        return [json.loads(line)["message"] if line.startswith("{") else line for line in self.raw_log()]

    def raw_log(self) -> list[str]:
        """What the process has printed so far, line by line."""
        return self._log.read_text().splitlines()

    def wait(self, seconds: float = 90.0) -> int:
        """The exit code, once the process has ended by itself."""
        return self.process.wait(seconds)

    def stop(self) -> int:
        """End it as Kubernetes does, and give the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait(30.0)

    def kill(self) -> None:
        """End it as a power cut does."""
        self.process.kill()
        self.process.wait()

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        families = text_string_to_metric_families(self.metrics_page())
        samples = [s for family in families for s in family.samples]
        return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())

    def metrics_page(self) -> str:
        """What /metrics answers."""
        return str(urllib.request.urlopen(f"{self._base()}/metrics", timeout=10).read().decode())

    @property
    def port(self) -> int:
        """Where /metrics is, once the consumer listens."""
        return int(self._ports()[0])

    def wait_ready(self) -> None:
        """Return once /readyz answers 200."""
        self.wait_until(lambda: bool(self._ports()), "listening")
        self.wait_until(self._ready, "ready")

    def wait_until(self, condition: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
        """Return once the condition holds; fail if the process ends or the time is over before."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, f"ended before {what}: {self.log_lines()}"
            assert time.monotonic() < deadline, f"not {what} in {seconds} s: {self.log_lines()}"
            time.sleep(0.02)

    def _ready(self) -> bool:
        with contextlib.suppress(urllib.error.URLError):
            return bool(urllib.request.urlopen(f"{self._base()}/readyz", timeout=10).status == 200)
        return False

    def _base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _ports(self) -> list[str]:
        found = (re.search(r"/readyz on .*:(\d+)", line) for line in self.log_lines())
        return [match.group(1) for match in found if match]


@pytest.fixture
def start(kafka: Kafka, tiny_bundle: Path, prefix: str, tmp_path: Path) -> Iterator[Callable[..., Consumer]]:
    """Start a consumer of this test's topics; those still running at the end are killed."""
    started: list[Consumer] = []

    def start_one(*arguments: str, bundle: Path = tiny_bundle) -> Consumer:
        consumer = Consumer(kafka, bundle, prefix, tmp_path / f"consumer-{len(started)}.log", *arguments)
        started.append(consumer)
        return consumer

    yield start_one
    for consumer in started:
        if consumer.process.poll() is None:
            consumer.kill()


@pytest.fixture(scope="session")
def tiny_alone(tiny_checkpoint: Path) -> dict[str, str]:
    """Comments and the label that PyTorch gives each by itself."""
    import torch
    from tokenizers import Tokenizer
    from transformers import BertForSequenceClassification

    tokenizer = Tokenizer.from_file(str(tiny_checkpoint / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    window = Window(MAX_LENGTH, MAX_LENGTH // 4)
    model = BertForSequenceClassification.from_pretrained(tiny_checkpoint).eval()
    with torch.no_grad():
        return {
            text: LABELS[int(model(torch.tensor([window.cut(tokenizer.encode(text).ids)])).logits.argmax())]
            for text in comments(300, seed=5)
        }
