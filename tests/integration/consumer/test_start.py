"""When the consumer starts, and with which words it refuses."""

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from consumer import bundle
from tests.integration.conftest import Kafka, Message
from tests.integration.consumer.conftest import URGENCIES, Consumer

Start = Callable[..., Consumer]


@pytest.fixture
def own_bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the tiny bundle to change."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


def test_tampered_bundle_is_refused(start: Start, own_bundle: Path) -> None:
    """A model changed after export ends the start with code 3, and the file is named."""
    with (own_bundle / "model.cpu.onnx").open("ab") as file:
        file.write(b"\0")

    consumer = start(bundle=own_bundle)

    assert consumer.wait() == 3
    assert "model.cpu.onnx was changed after export" in consumer.log_lines()[-1]


def test_golden_comments_that_do_not_match_are_refused(start: Start, own_bundle: Path) -> None:
    """A device that gives other probabilities than the bundle states never becomes ready: code 3."""
    golden = json.loads((own_bundle / "golden.json").read_bytes())
    golden[5]["probabilities"].reverse()
    (own_bundle / "golden.json").write_text(json.dumps(golden))
    sealed = bundle.read_manifest(own_bundle)
    bundle.seal(
        own_bundle,
        name=sealed.name,
        labels=sealed.labels,
        window=sealed.window,
        variants=sealed.variants,
        training=sealed.training,
    )

    consumer = start(bundle=own_bundle)

    assert consumer.wait() == 3
    last = consumer.log_lines()[-1]
    assert "1 of 48 golden comments" in last
    assert "number 5" in last
    assert "should give" in last
    assert "joined" not in " ".join(consumer.log_lines())


def test_missing_topics_are_named(start: Start, kafka: Kafka, prefix: str) -> None:
    """Without --create-topics missing topics end the start with code 5, and are named."""
    consumer = start("--no-create-topics")

    assert consumer.wait() == 5
    assert f"{prefix}comments" in consumer.log_lines()[-1]
    assert "--create-topics" in consumer.log_lines()[-1]


def test_topics_are_made_with_their_settings(start: Start, kafka: Kafka, prefix: str) -> None:
    """--create-topics makes every topic that is missing, with the partitions asked for."""
    consumer = start("--topic-partitions", "3", "--topic-replication", "1")
    consumer.wait_ready()

    assert {f"{prefix}comments", *consumer.outputs} <= kafka.topics()
    consumer.wait_until(lambda: consumer.metric("urgency_router_assigned_partitions") == 3, "assigned")


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="this machine has a GPU")
def test_cuda_without_a_gpu_is_an_error_and_auto_says_so(start: Start) -> None:
    """--device cuda without a GPU ends with code 4; --device auto takes the CPU and says why."""
    refused = start("--device", "cuda")
    assert refused.wait() == 4
    assert "no NVIDIA driver" in refused.log_lines()[-1]

    taken = start("--device", "auto", "--exit-at-end")
    assert taken.wait() == 0
    assert any("on cpu in fp32: --device auto found no usable GPU" in line for line in taken.log_lines())


def test_logs_are_json_lines(start: Start) -> None:
    """Off a terminal every line that the consumer prints, from start to end, is one JSON object."""
    consumer = start("--log-level", "debug")
    consumer.wait_ready()
    assert consumer.stop() == 0

    lines = [json.loads(line) for line in consumer.raw_log()]
    assert lines[-1]["message"] == "stopped"


def test_taken_metrics_port_is_an_error(start: Start) -> None:
    """A taken metrics port ends the start with code 6."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = str(holder.getsockname()[1])
        consumer = start("--metrics-port", port)
        assert consumer.wait() == 6
    assert f"127.0.0.1:{port}" in consumer.log_lines()[-1]


def test_waits_for_kafka_and_says_so(start: Start) -> None:
    """A consumer that cannot reach Kafka waits, says for what, and stops on SIGTERM."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        consumer = start("--bootstrap-servers", address)
        consumer.wait_until(
            lambda: any(f"no answer from Kafka at {address}" in line for line in consumer.log_lines()),
            "waiting",
        )
        assert consumer.stop() == 0


BLOCKED = """
import runpy, sys
for name in ("torch", "transformers", "datasets", "onnx", "sklearn", "accelerate", "pandas", "matplotlib"):
    sys.modules[name] = None
sys.modules["opentelemetry"] = None
sys.argv = ["consumer", *sys.argv[1:]]
runpy.run_module("consumer", run_name="__main__", alter_sys=True)
"""


def test_needs_neither_torch_nor_transformers(kafka: Kafka, prefix: str, tiny_bundle: Path) -> None:
    """With the packages of finetune, export and every extra blocked the consumer starts and publishes."""
    kafka.create_topics(f"{prefix}comments")
    kafka.produce(f"{prefix}comments", [Message(b'{"text": "late"}')])

    arguments = ["--bundle", str(tiny_bundle), "--bootstrap-servers", kafka.bootstrap_servers]
    arguments += ["--group-id", f"{prefix}group", "--input-topic", f"{prefix}comments"]
    arguments += ["--output-prefix", prefix, "--metrics-port", "0", "--create-topics", "--exit-at-end"]
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, *arguments], capture_output=True, text=True, timeout=90, check=False
    )

    assert done.returncode == 0, done.stderr
    assert len(kafka.read(*[f"{prefix}{urgency}" for urgency in URGENCIES], count=1)) == 1
