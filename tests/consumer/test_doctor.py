"""What `doctor` makes of what it sees, where a real cluster shows it seldom."""

import datetime
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnxruntime
import pytest
import trustme
from kafka import TopicPartition
from kafka.errors import ClusterAuthorizationFailedError, KafkaTimeoutError
from prometheus_client import CollectorRegistry

from consumer import bundle
from consumer.bundle import GoldenComment
from consumer.connection import read
from consumer.doctor import (
    brokers,
    certificate,
    clock,
    command,
    finding,
    gpu,
    model,
    port,
    topic_settings,
    topics,
)
from consumer.doctor.finding import Finding
from consumer.doctor.kafka import Kafka
from consumer.doctor.settings import DoctorSettings
from consumer.health import Pulse
from consumer.server import serving
from consumer.settings import checked

FLAGS = ["--bundle", "none", "--bootstrap-servers", "127.0.0.1:1", "--metrics-port", "0"]


def settings(*arguments: str) -> DoctorSettings:
    """The settings of a doctor with these flags."""
    return checked(read(DoctorSettings, [*FLAGS, *arguments]))


def test_worst_verdict_counts() -> None:
    """Of several remarks on one thing the worst verdict counts, and all is said; advice follows."""
    remarks = [finding.ok("", "a"), finding.fail("", "b", "mend b"), finding.warn("", "c", "look at c")]

    assert finding.together("x", remarks) == Finding("FAIL", "x", "a, b, c", "mend b; look at c")
    assert finding.together("x", [finding.skip("", "why"), remarks[0]]).verdict == "OK"


# Three copies of each partition, as kafka-python describes them.
def partition(*in_sync: int, number: int = 0, copies: int = 3, leader: int = 1) -> dict[str, Any]:
    """A partition with copies on the first brokers, those in sync given."""
    return {
        "partition_index": number,
        "replica_nodes": list(range(1, copies + 1)),
        "isr_nodes": list(in_sync),
        "leader_id": leader,
    }


@pytest.mark.parametrize(
    ("partitions", "least", "verdict", "words"),
    [
        ([partition(1, 2, 3)], 2, "OK", "min.insync.replicas 2"),
        ([partition(1, 2, 3)], 3, "WARN", "nothing can be written while one broker is away"),
        ([partition(1, 2, 3)], 1, "WARN", "what one broker alone has taken is lost with it"),
        ([partition(1, 2, copies=2)], 1, "OK", "min.insync.replicas 1"),
        ([partition(1, copies=1)], 1, "OK", "min.insync.replicas 1"),
        ([partition(1, 2, 3), partition(1, number=1)], 2, "FAIL", "and partition 1 has fewer"),
    ],
)
def test_copies_that_must_have_a_message(
    partitions: list[dict[str, Any]], least: int, verdict: str, words: str
) -> None:
    """min.insync.replicas must survive the loss of one broker, in both ways, and hold now."""
    configuration = {
        "retention.ms": "-1",
        "cleanup.policy": "delete",
        "max.message.bytes": "9999999",
        "min.insync.replicas": str(least),
    }

    remarks = topic_settings.check("comments.high", partitions, configuration, settings())

    seen = finding.together("x", list(remarks))
    assert seen.verdict == verdict
    assert words in f"{seen.found}; {seen.advice}"


@pytest.mark.parametrize(
    ("partitions", "brokers", "verdict", "words"),
    [
        ([partition(1, 2, 3)], 3, "OK", "1 partition, 3 copies"),
        ([partition(1, copies=1)], 1, "OK", "1 partition, 1 copy"),
        ([partition(1, copies=1)], 3, "WARN", "a broker that is lost takes its partitions along"),
        ([partition(1, 2, 3), partition(1, 2, number=1)], 3, "WARN", "copies of partition 1 are away"),
        ([partition(leader=-1, number=4)], 3, "FAIL", "no leader for partition 4"),
    ],
)
def test_copies_of_a_topic(partitions: list[dict[str, Any]], brokers: int, verdict: str, words: str) -> None:
    """Copies that are few, behind, or without a leader are told of."""
    kafka: Any = SimpleNamespace(settings=settings(), cluster={"brokers": [None] * brokers})

    seen = finding.together("x", list(topics._seen("comments.high", {"partitions": partitions}, kafka)))

    assert seen.verdict == verdict
    assert words in f"{seen.found}; {seen.advice}"


@pytest.mark.parametrize(
    ("milliseconds", "words"),
    [(604_800_000, "7 days"), (86_400_000, "24 h"), (5_400_000, "90 min"), (1500, "1.5 s")],
)
def test_durations_are_said_in_a_fitting_unit(milliseconds: int, words: str) -> None:
    """A time is said in the largest unit of which it has two."""
    assert topic_settings.duration(milliseconds) == words


class Admin:
    """Kafka's answers about time: its clock is `ahead` of ours, or not told; the newest message likewise."""

    def __init__(self, ahead: float | None, newest: float | None = None) -> None:
        self._ahead = ahead
        self._newest = newest

    def describe_metadata_quorum(self) -> dict[str, Any]:
        """The quorum, led by 2."""
        if self._ahead is None:
            raise ClusterAuthorizationFailedError
        voters = [
            {"replica_id": 1, "last_caught_up_timestamp": 5},
            {"replica_id": 2, "last_caught_up_timestamp": int((time.time() + self._ahead) * 1000)},
        ]
        partition = {"leader_id": 2, "current_voters": voters, "error": None}
        return {"topics": [{"partitions": [partition]}]}

    def describe_topics(self, names: list[str]) -> list[dict[str, Any]]:
        """One topic of one partition."""
        return [{"name": names[0], "partitions": [{"partition_index": 0}]}]

    def list_partition_offsets(self, asked: dict[TopicPartition, Any]) -> dict[TopicPartition, Any]:
        """The newest message's time."""
        if self._newest is None:
            raise KafkaTimeoutError
        at = SimpleNamespace(timestamp=int((time.time() + self._newest) * 1000))
        return dict.fromkeys(asked, at)


@pytest.mark.parametrize(
    ("admin", "verdict", "words"),
    [
        (Admin(0.0), "OK", "within 2 s of Kafka's"),
        (Admin(30.5), "WARN", "30 s behind Kafka's; set both by NTP"),
        (Admin(-30.5), "WARN", "30 s ahead of Kafka's; set both by NTP"),
        (Admin(-4000.0), "FAIL", "4,000 s ahead of Kafka's"),
        (Admin(None, newest=60.5), "WARN", "the newest message of comments is from 60 s in the future"),
        (
            Admin(None, newest=-60.0),
            "SKIP",
            "no message of comments is from the future; to have it checked grant it:",
        ),
        (Admin(None), "SKIP", "(ClusterAuthorizationFailedError); to have it checked grant it:"),
    ],
)
def test_clocks_are_compared(admin: Admin, verdict: str, words: str) -> None:
    """Kafka's own time is compared if it is told; else only messages from the future say something."""
    kafka = Kafka(settings(), admin, [("kafka", 9092)])

    (seen,) = clock.check(kafka)

    assert seen.verdict == verdict
    assert words in f"{seen.found}; {seen.advice}".replace("31 s", "30 s").replace("59 s", "60 s")


@pytest.mark.parametrize(("days", "verdict"), [(13, "WARN"), (15, "OK")])
@pytest.mark.parametrize("password", ["", "opens it"])
def test_our_certificate_that_ends_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int, verdict: str, password: str
) -> None:
    """Our own certificate warns a fortnight before its end, its key encrypted or not."""
    flags = issue(tmp_path, datetime.timedelta(days=days, hours=1), password)
    if password:
        monkeypatch.setenv("CONSUMER_SSL_KEY_PASSWORD", password)

    (seen,) = certificate.check(settings(*flags))

    assert (seen.verdict, seen.found) == (verdict, f"certificate good for another {days} days")


def test_our_certificate_that_has_ended(tmp_path: Path) -> None:
    """Our own certificate that has ended fails, whatever brokers say to it."""
    (seen,) = certificate.check(settings(*issue(tmp_path, datetime.timedelta(days=-1))))

    assert (seen.verdict, seen.advice) == ("FAIL", "have it renewed")
    assert "certificate has expired" in seen.found


def test_no_certificate_is_no_line() -> None:
    """Who shows no certificate hears nothing of one."""
    assert list(certificate.check(settings())) == []


def issue(directory: Path, lasting: datetime.timedelta, password: str = "") -> list[str]:
    """The flags of a client with a certificate that lasts so long."""
    from cryptography.hazmat.primitives import serialization as pem

    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(directory / "ca"))
    issued = ca.issue_cert("client.example", not_after=datetime.datetime.now(datetime.UTC) + lasting)
    issued.cert_chain_pems[0].write_to_path(str(directory / "crt"))
    encryption = pem.BestAvailableEncryption(password.encode()) if password else pem.NoEncryption()
    key = pem.load_pem_private_key(issued.private_key_pem.bytes(), None)
    (directory / "key").write_bytes(key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, encryption))
    return [
        *("--security-protocol", "SSL", "--ssl-ca-file", str(directory / "ca")),
        *("--ssl-certificate-file", str(directory / "crt"), "--ssl-key-file", str(directory / "key")),
    ]


@pytest.mark.parametrize(
    ("versions", "verdict", "words"),
    [
        ({29: (0, 2)}, "OK", "speaks Kafka 2.5"),
        ({0: (0, 8)}, "FAIL", "speaks Kafka 2.4; the consumer needs 2.5 or newer: upgrade this broker"),
    ],
)
def test_broker_that_is_too_old(versions: dict[int, tuple[int, int]], verdict: str, words: str) -> None:
    """A broker that does not know what a fenced transaction needs fails."""
    seen = brokers._version("x", versions)

    assert seen.verdict == verdict
    assert words in f"{seen.found}; {seen.advice}"


@pytest.mark.parametrize(
    ("flags", "found", "missing", "verdicts"),
    [
        ("", "no NVIDIA driver", [], {"GPU": "OK", "GPU libraries": "SKIP"}),
        ("--device cuda", "no NVIDIA driver", [], {"GPU": "FAIL", "GPU libraries": "SKIP"}),
        ("--device cpu", ["NVIDIA X"], ["libcublas.so.13"], {"GPU": "SKIP"}),
        ("--precision int8", ["NVIDIA X"], ["libcublas.so.13"], {"GPU": "SKIP"}),
        ("", ["NVIDIA X"], ["libcublas.so.13"], {"GPU": "OK", "GPU libraries": "WARN"}),
        ("--device cuda", ["NVIDIA X"], ["libcublas.so.13"], {"GPU": "OK", "GPU libraries": "FAIL"}),
        ("", ["NVIDIA X"], [], {"GPU": "OK", "GPU libraries": "OK"}),
    ],
)
def test_gpu_and_its_libraries(
    monkeypatch: pytest.MonkeyPatch,
    flags: str,
    found: list[str] | str,
    missing: list[str],
    verdicts: dict[str, str],
) -> None:
    """A GPU that cannot be used is a warning if one may be, and a failure if one must be."""
    monkeypatch.setattr(gpu, "gpus", lambda: found)
    monkeypatch.setattr(gpu, "missing_libraries", lambda: missing)

    seen = {line.check: line for line in gpu.check(settings(*flags.split()))}

    assert {check: line.verdict for check, line in seen.items()} == verdicts
    if missing and "GPU libraries" in verdicts:
        assert seen["GPU libraries"].found == "libcublas.so.13 cannot be loaded"
        assert seen["GPU libraries"].advice == "install them: pip install 'urgency-router[cuda]'"


def test_onnx_runtime_without_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU is of no use to an ONNX Runtime that was built without CUDA, and the right one is named."""
    monkeypatch.setattr(gpu, "gpus", lambda: ["NVIDIA X"])
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])

    _, libraries = gpu.check(settings())

    assert (libraries.verdict, libraries.found) == ("WARN", "ONNX Runtime has no CUDAExecutionProvider")
    assert "onnxruntime-gpu" in libraries.advice


def test_libraries_that_do_not_load_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ONNX Runtime says it cannot load is named, and not printed."""
    monkeypatch.setattr(
        onnxruntime, "preload_dlls", lambda: print("Failed to load libcurand.so.10: no such file")
    )

    assert "libcurand.so.10" in gpu.missing_libraries()


@pytest.mark.parametrize(("code", "words"), [(100, " (CUDA's error 100)"), (0, "")])
def test_driver_without_a_gpu(monkeypatch: pytest.MonkeyPatch, code: int, words: str) -> None:
    """A driver that finds no GPU is told from one that is not there."""
    driver = SimpleNamespace(cuInit=lambda _: code, cuDeviceGetCount=lambda _: 0)
    monkeypatch.setattr(gpu.ctypes, "CDLL", lambda *_: driver)

    assert gpu.gpus() == f"the NVIDIA driver finds no GPU{words}"


@pytest.fixture
def held() -> Iterator[tuple[int, Pulse]]:
    """A port on which an urgency-router answers, and its pulse."""
    pulse = Pulse([0.0, 0.0], 300)
    with serving("127.0.0.1", 0, CollectorRegistry(), pulse) as number:
        yield number, pulse


@pytest.mark.parametrize(("host", "ready"), [("127.0.0.1", True), ("0.0.0.0", True), ("127.0.0.1", False)])
def test_port_that_is_ours(held: tuple[int, Pulse], host: str, ready: bool) -> None:
    """A port that our own service holds is fine while that is ready, and worth a look while it is not."""
    number, pulse = held
    pulse._state[1] = float(ready)

    (seen,) = port.check(settings("--metrics-host", host, "--metrics-port", str(number)))

    assert seen.verdict == ("OK" if ready else "WARN")
    assert "held by an urgency-router that runs here" in seen.found


def test_port_that_is_another_programs() -> None:
    """A port that another web server holds fails, with the way out."""
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Other) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        number = str(other.server_address[1])
        (seen,) = port.check(settings("--metrics-host", "127.0.0.1", "--metrics-port", number))
        other.shutdown()

    assert seen.verdict == "FAIL"
    assert "cannot listen on 127.0.0.1:" in seen.found
    assert seen.advice == "stop what holds the port, or choose another with --metrics-port"


def test_port_is_free_again() -> None:
    """Looking at a free port leaves it free."""
    with serving("127.0.0.1", 0, CollectorRegistry(), Pulse([0.0, 0.0], 300)) as number:
        pass
    given = settings("--metrics-host", "127.0.0.1", "--metrics-port", str(number))

    assert [seen.found for _ in range(2) for seen in port.check(given)] == [f"127.0.0.1:{number} is free"] * 2


def look_at_model(directory: Path, *arguments: str) -> dict[str, Finding]:
    """What is found of a bundle, on a CPU, by check."""
    fast = ("--device", "cpu", "--threads", "1", "--micro-batch-tokens", "256")
    return {seen.check: seen for seen in model.check(settings("--bundle", str(directory), *fast, *arguments))}


def test_good_model(tiny_bundle: Path) -> None:
    """A whole bundle whose golden comments come out as it says is fine, and why that device is said."""
    seen = look_at_model(tiny_bundle)

    assert {line.verdict for line in seen.values()} == {"OK"}
    assert seen["device"].found == "cpu in fp32: --device cpu asks for it"
    assert seen["golden comments"].found.startswith("all 48 come out as the bundle says, ")


def test_model_of_other_labels(tiny_bundle: Path) -> None:
    """Routes that do not fit the model's labels fail, and the model is tried all the same."""
    seen = look_at_model(tiny_bundle, "--routes", "high: 1,2; low: 3,4")

    assert (seen["routes"].verdict, seen["golden comments"].verdict) == ("FAIL", "OK")
    assert seen["routes"].found == "--routes: no urgency for label 5"
    assert seen["routes"].advice == "put each in one route"


def test_shadow_model(tiny_bundle: Path, tmp_path: Path) -> None:
    """A shadow's bundle is read as well: one that is not there, or whose labels have no route, fails."""
    shadow = ("--no-check-model", "--shadow-bundle")
    seen = look_at_model(tiny_bundle, *shadow, str(tiny_bundle))
    missing = look_at_model(tiny_bundle, *shadow, str(tmp_path))
    unfit = look_at_model(tiny_bundle, *shadow, str(tiny_bundle), "--routes", "high: 1,2,3,4,5,6")

    assert (seen["shadow bundle"].verdict, seen["shadow bundle"].found) == ("OK", seen["bundle"].found)
    assert (missing["bundle"].verdict, missing["shadow bundle"].verdict) == ("OK", "FAIL")
    assert unfit["shadow bundle"].found == "--routes: the model has no label 6"
    assert "shadow bundle" not in look_at_model(tiny_bundle, "--no-check-model")


def test_altered_model(tiny_bundle: Path, tmp_path: Path) -> None:
    """A file that was changed after the export fails, and nothing is run."""
    copied = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    with (copied / "model.cpu.onnx").open("ab") as file:
        file.write(b"x")

    seen = look_at_model(copied)

    assert seen["bundle"].verdict == "FAIL"
    assert "model.cpu.onnx was changed after export" in seen["bundle"].found
    assert [seen[check].verdict for check in ("routes", "device", "golden comments")] == ["SKIP"] * 3


def test_model_that_computes_wrongly(tiny_bundle: Path, tmp_path: Path) -> None:
    """A golden comment that comes out different fails, with both answers and what to try."""
    copied = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    read_bundle = bundle.read(copied)
    first, *others = read_bundle.golden
    turned = GoldenComment(text=first.text, probabilities=first.probabilities[::-1])
    bundle.write_golden(copied, [turned, *others])
    manifest = read_bundle.manifest
    bundle.seal(
        copied,
        name=manifest.name,
        labels=manifest.labels,
        window=manifest.window,
        variants=manifest.variants,
        training=manifest.training,
    )

    seen = look_at_model(copied)["golden comments"]

    assert seen.verdict == "FAIL"
    assert "1 of 48 golden comments" in seen.found


@pytest.mark.skipif(isinstance(gpu.gpus(), list), reason="this machine has a GPU")
def test_device_that_is_not_there(tiny_bundle: Path) -> None:
    """--device cuda without a GPU fails as the service would."""
    seen = look_at_model(tiny_bundle, "--device", "cuda")

    assert [seen[check].verdict for check in ("bundle", "device", "golden comments")] == [
        "OK",
        "FAIL",
        "SKIP",
    ]
    assert "this machine has no NVIDIA driver" in seen["device"].found


def test_fault_of_a_check_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that breaks is a line of its own, and all others are there."""

    def broken(_: DoctorSettings) -> Iterator[Finding]:
        raise RuntimeError("oops")
        yield

    monkeypatch.setitem(command.OF_THIS_MACHINE, "GPU", broken)

    seen = {line.check: line for line in command.findings(settings("--no-check-model"))}

    assert seen["GPU"] == Finding(
        "FAIL", "GPU", "a fault of doctor itself: RuntimeError: oops", "please report it"
    )
    assert {"bundle", "metrics port", *command.OF_KAFKA} <= set(seen)


def test_lines_are_harmless(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What others' names and messages hold cannot harm a terminal; as JSON it stays what it is."""
    strange = finding.warn("x\x1b[2J", "a\nb\x9b", "c")
    monkeypatch.setattr(command, "findings", lambda _: iter([strange]))

    assert command.main(FLAGS) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"WARN  {'x [2J':<28}  a b ; c"
    assert command.main([*FLAGS, "--json"]) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed)["found"] == strange.found
    assert printed.removesuffix("\n").isprintable()


def test_odd_names_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """A path that is not UTF-8 is no obstacle, in words or as JSON."""
    for form in ((), ("--json",)):
        assert command.main([*FLAGS, "--bundle", "/b\udcffd", "--no-check-model", *form]) == 1
        assert "cannot read /b" in capsys.readouterr().out


def test_wrong_setting_ends_with_its_own_code(capsys: pytest.CaptureFixture[str]) -> None:
    """Where a setting is wrong nothing can be checked: code 2, and the service's own words."""
    from consumer.__main__ import main

    assert main(["doctor", *FLAGS, "--transaction-timeout-seconds", "99"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("consumer doctor: --transaction-timeout-seconds must be below")
