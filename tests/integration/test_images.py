"""The images: their Dockerfiles' steps run in an empty environment, and what they give runs."""

import json
import re
import shutil
import signal
import subprocess
import sysconfig
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from deploy.local.broker import free_port
from tests.conftest import comments
from tests.dockerfile import Build, Stage
from tests.integration.conftest import Kafka, Message

ROOT = Path(__file__).parents[2]
DOCKERFILES = ROOT / "deploy" / "docker"
SECONDS = 60.0
# How a program becomes the first process of a container; that takes root's rights.
FIRST_PROCESS = ("unshare", "--pid", "--fork", "--kill-child")
# Every package is downloaded and unpacked anew.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """The consumer's Dockerfile, built."""
    build = Build(DOCKERFILES / "consumer.Dockerfile", ROOT, tmp_path_factory.mktemp("consumer-image"))
    build.run()
    return build


@pytest.fixture(scope="module")
def image(build: Build, tiny_bundle: Path) -> Stage:
    """The consumer's image, with the tiny bundle where one is mounted."""
    shutil.copytree(tiny_bundle, build.image.path("/bundle"))
    return build.image


@pytest.fixture(scope="module")
def packages(image: Stage) -> dict[str, str]:
    """The consumer's image: what is installed there, and in which version."""
    listing = (
        "import json, importlib.metadata as metadata\n"
        "print(json.dumps({package.name: package.version for package in metadata.distributions()}))"
    )
    return dict(json.loads(image.run("python", "-c", listing)))


@dataclass(frozen=True)
class Running:
    """The image's entrypoint as it runs: what was started, and the consumer's own process."""

    port: int
    started: "subprocess.Popen[str]"
    consumer: psutil.Process


@contextmanager
def running(image: Stage, kafka: Kafka, prefix: str, *before: str) -> Iterator[Running]:
    """The image's entrypoint, labelling; `before` is what it is started by."""
    port = free_port()
    settings = {
        "BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "METRICS_HOST": "127.0.0.1",
        "METRICS_PORT": str(port),
        "GROUP_ID": f"{prefix}group",
        "INPUT_TOPIC": f"{prefix}comments",
        "OUTPUT_PREFIX": prefix,
        "CREATE_TOPICS": "true",
        "THREADS": "1",
    }
    variables = {f"CONSUMER_{name}": value for name, value in settings.items()}
    started = image.spawn(*before, *image.entrypoint, **variables)
    try:
        deadline = time.monotonic() + SECONDS
        while not _ready(port):
            assert started.poll() is None, started.communicate()[0]
            assert time.monotonic() < deadline, "the consumer of the image is not ready"
            time.sleep(0.05)
        outer = psutil.Process(started.pid)
        yield Running(port, started, outer.children()[0] if before else outer)
    finally:
        started.kill()
        started.communicate()


def _ready(port: int) -> bool:
    with suppress(urllib.error.URLError):
        return bool(urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10).status == 200)
    return False


def _health(image: Stage, port: int) -> int:
    process = image.spawn(*image.health_check, CONSUMER_METRICS_PORT=str(port))
    process.communicate()
    return process.returncode


def _pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return {_normal(name): version for name, version in (line.split("==") for line in lines)}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_system_gives_python_alone(build: Build) -> None:
    """All that is not executed here, apt-get, is asked for Python and nothing else."""
    assert build.packages == {"python3", "python3-pip", "python3-venv"}


def test_consumer_has_no_torch(packages: dict[str, str]) -> None:
    """The consumer's image has neither torch nor transformers, nor NVIDIA's wheels, nor pip."""
    unwanted = {"torch", "transformers", "pip"}
    assert {name for name in packages if name in unwanted or name.startswith("nvidia")} == set()


def test_consumer_has_what_is_pinned(packages: dict[str, str]) -> None:
    """Every package of the consumer's image, itself apart, has the version of constraints.txt."""
    assert packages.pop("urgency-router")
    assert {_normal(name): version for name, version in packages.items()}.items() <= _pins().items()


def test_consumer_has_its_extras(packages: dict[str, str]) -> None:
    """The consumer's image takes e-mails and exports spans: it has what those extras name."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    wanted = {re.split(r"[<>=]", need)[0] for extra in ("email", "traces") for need in extras[extra]}

    assert wanted <= packages.keys()


def test_any_user_can_read_the_image(image: Stage) -> None:
    """Nothing in the consumer's image needs a certain user: all may read it, and open its directories."""
    files = [path for path in image.path("/opt").rglob("*") if not path.is_symlink()]

    assert len(files) > 1000
    assert [
        path for path in files if (path.stat().st_mode & 0o005) < (0o005 if path.is_dir() else 0o004)
    ] == []


def test_consumer_of_the_image_labels(image: Stage, kafka: Kafka, prefix: str) -> None:
    """The image's entrypoint labels comments with the code that was installed, and writes but to /tmp."""
    before = set(image.root.rglob("*"))
    with running(image, kafka, prefix) as container:
        kafka.produce(
            f"{prefix}comments", [Message(json.dumps({"text": text}).encode()) for text in comments(20)]
        )
        outputs = [f"{prefix}{urgency}" for urgency in ("high", "medium", "low")]
        records = kafka.read(*outputs, count=20)
        libraries = {
            Path(file.path) for file in container.consumer.memory_maps() if "site-packages" in file.path
        }

    assert sorted(json.loads(record.value)["text"] for record in records) == sorted(comments(20))
    assert all("classification" in json.loads(record.value) for record in records)
    assert libraries
    assert [path for path in libraries if image.root not in path.parents] == []
    written = set(image.root.rglob("*")) - before
    assert {path for path in written if image.path("/tmp") not in path.parents} == set()


def test_health_check_follows_the_consumer(image: Stage, kafka: Kafka, prefix: str) -> None:
    """The image's health check succeeds while its consumer runs, and fails once that is gone."""
    with running(image, kafka, prefix) as container:
        assert _health(image, container.port) == 0
    assert _health(image, container.port) == 1


def test_first_process_of_a_container_stops_in_order(image: Stage, kafka: Kafka, prefix: str) -> None:
    """As process 1, which no signal ends that it does not handle, the entrypoint ends with 0 on SIGTERM."""
    if subprocess.run([*FIRST_PROCESS, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this user may not make a process the first of a container (unshare --pid)")
    with running(image, kafka, prefix, *FIRST_PROCESS) as container:
        container.consumer.send_signal(signal.Signals[image.stop_signal])
        printed, _ = container.started.communicate(timeout=30)

    assert container.started.returncode == 0, printed
    assert "stopped" in printed


def test_finetune_image_has_what_is_pinned(tmp_path: Path) -> None:
    """The other image's steps install what constraints.txt pins and no more, and its entrypoint answers.

    Its environment is lent this one's packages, since downloading PyTorch again takes minutes. pip finds that
    each is the version that it would install.
    """

    def lend(command: str, stage: Stage) -> None:
        if "pip --python" in command:
            environment = sysconfig.get_path("purelib", vars={"base": str(stage.path("/opt/venv"))})
            Path(environment, "lent.pth").write_text(sysconfig.get_path("purelib"))

    build = Build(DOCKERFILES / "finetune.Dockerfile", ROOT, tmp_path / "image")
    build.run(lend)
    image = build.image

    [installed] = re.findall("^Successfully installed (.*)$", build.printed, re.MULTILINE)
    assert re.fullmatch(r"urgency-router-\S+", installed)
    assert "--base-model" in image.run(*image.entrypoint, *image.arguments)
    assert "CHECKPOINT" in image.run(*image.entrypoint, "export", "--help")
    assert [oct(image.path(path).stat().st_mode)[-4:] for path in ("/cache", "/work")] == ["1777", "1777"]
