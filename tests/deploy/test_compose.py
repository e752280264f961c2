"""What compose.yaml says, as far as it can be told without an engine; `make check` holds it to its schema."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from consumer import connection
from consumer.service import LEAVE_TIMEOUT_MS
from consumer.settings import WAIT_SECONDS, Settings

DOCKER = Path(__file__).parents[2] / "deploy" / "docker"
SERVICES: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
CONSUMERS = [name for name in SERVICES if name.startswith("consumer")]


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_open_on_loopback_alone(name: str) -> None:
    """No service can be reached from another machine."""
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name]["ports"])


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned(name: str) -> None:
    """Every image is built here, or has a whole version."""
    assert "build" in SERVICES[name] or re.search(r":v?\d+\.\d+\.\d+$", SERVICES[name]["image"])


@pytest.mark.parametrize("name", SERVICES)
def test_mounted_files_are_there(name: str) -> None:
    """What is mounted from this repository exists; a path that does not would be an empty directory."""
    volumes = [volume for volume in SERVICES[name].get("volumes", []) if isinstance(volume, str)]
    sources = [volume.partition(":")[0] for volume in volumes]

    assert [source for source in sources if source[0] == "." and not (DOCKER / source).exists()] == []


def test_prometheus_takes_its_configuration(tmp_path: Path) -> None:
    """Prometheus finds no fault with its configuration, nor with the rules where they are mounted."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is missing: Debian's package prometheus has it")
    for volume in SERVICES["prometheus"]["volumes"]:
        source, target, *_ = volume.split(":")
        if source[0] == ".":
            shutil.copy(DOCKER / source, tmp_path / Path(target).relative_to("/etc/prometheus"))

    told = subprocess.run(
        [promtool, "check", "config", "prometheus.yml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    assert re.search(r"SUCCESS: \d+ rules found", told.stdout)


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_waited_for_tells_its_health(name: str) -> None:
    """A service starts only after those that tell whether they are healthy."""
    waited = SERVICES[name].get("depends_on", {})

    assert all(condition == {"condition": "service_healthy"} for condition in waited.values())
    assert all("healthcheck" in SERVICES[other] for other in waited)


@pytest.mark.parametrize("name", CONSUMERS)
def test_variables_are_settings(name: str) -> None:
    """The consumer gets no variable that it does not know."""
    assert SERVICES[name]["environment"].keys() <= {connection.variable(n) for n in Settings.model_fields}


@pytest.mark.parametrize("name", CONSUMERS)
def test_consumer_has_time_to_end(name: str) -> None:
    """What Docker waits before it kills is longer than a batch, its transaction and leaving the group."""
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    batch = defaults["max_batch_seconds"] + defaults["transaction_timeout_seconds"]
    grace = int(SERVICES[name]["stop_grace_period"].removesuffix("s"))

    assert grace > batch + WAIT_SECONDS + LEAVE_TIMEOUT_MS / 1000


@pytest.mark.parametrize("name", CONSUMERS)
def test_consumer_can_write_to_tmp_alone(name: str) -> None:
    """The consumer's root is read-only, its bundle too, and it can gain no rights."""
    service = SERVICES[name]

    assert (service["read_only"], service["tmpfs"]) == (True, ["/tmp"])
    assert all(volume["read_only"] for volume in service["volumes"])
    assert (service["cap_drop"], service["security_opt"]) == (["ALL"], ["no-new-privileges:true"])


def test_one_consumer_runs_by_default() -> None:
    """Without a profile the CPU's consumer starts, with the profile gpu the GPU's, and never both."""
    profiles = {name: SERVICES[name]["profiles"] for name in CONSUMERS}

    assert profiles == {"consumer": ["cpu"], "consumer-gpu": ["gpu"]}
    assert "COMPOSE_PROFILES=cpu" in (DOCKER / ".env").read_text().splitlines()
