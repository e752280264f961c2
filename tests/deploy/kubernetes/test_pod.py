"""The consumer's pod fits the consumer: its settings, its probes, its end, and what it may do."""

import re
import subprocess
import sys
import threading
import tomllib
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from prometheus_client import CollectorRegistry

from consumer import bundle, service, settings
from consumer.connection import PREFIX, variable
from consumer.errors import BundleError
from consumer.serve import run
from consumer.server import serving
from consumer.settings import Settings
from deploy.local.broker import free_port
from tests import drain
from tests.deploy.kubernetes import pod
from tests.deploy.kubernetes.rendering import DIRECTORY, Object, only

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the Secret urgency-router-kafka, whichever login it is for."""
    directory = tmp_path_factory.mktemp("secrets")
    authority = trustme.CA()
    issued = authority.issue_cert("urgency-router")
    authority.cert_pem.write_to_path(directory / "ca.crt")
    issued.cert_chain_pems[0].write_to_path(directory / "tls.crt")
    issued.private_key_pem.write_to_path(directory / "tls.key")
    (directory / "password").write_text("secret")
    return directory


@pytest.fixture
def variables(objects: list[Object], secrets: Path) -> dict[str, str]:
    """What the consumer finds in its environment."""
    return pod.with_files(objects, pod.environment(objects, "support", "urgency-router-0"), secrets)


@pytest.fixture
def parsed(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings that the consumer makes of it."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return settings.parse([])


def test_every_variable_is_a_setting(variables: dict[str, str]) -> None:
    """Each CONSUMER_… variable is one that the consumer reads."""
    ours = {name for name in variables if name.startswith(PREFIX)}
    assert ours <= {variable(name) for name in Settings.model_fields}
    assert variable("bundle") in ours


def test_settings_parse(objects: list[Object], parsed: Settings) -> None:
    """The consumer takes the settings as they are, and they name the device of the overlay."""
    has_gpu = "nvidia.com/gpu" in pod.container(objects)["resources"]["limits"]
    assert parsed.device == ("cuda" if has_gpu else "cpu"), "auto would hide a missing GPU"


def test_transactional_ids_stay_and_differ(objects: list[Object]) -> None:
    """A pod's transactional id is the same whenever it starts, and no other pod's or worker's."""

    def of_pod(namespace: str, number: int) -> str:
        variables = pod.environment(objects, namespace, f"urgency-router-{number}")
        assert variables["CONSUMER_TRANSACTIONAL_ID"].startswith(f"{variables['CONSUMER_GROUP_ID']}-")
        return variables["CONSUMER_TRANSACTIONAL_ID"]

    pods = [(namespace, number) for namespace in ("support", "staging") for number in range(12)]
    ids = [of_pod(*each) for each in pods]
    ids += [f"{of_pod(*each)}-{worker}" for each in pods for worker in range(4)]

    assert ids[0] == of_pod("support", 0)
    assert len(set(ids)) == len(ids)


@dataclass
class Probed:
    """What the consumer's HTTP server asks."""

    live: bool
    ready: bool


@pytest.mark.parametrize(
    ("probe", "path", "health"),
    [
        ("startupProbe", "/livez", Probed(live=True, ready=False)),
        ("livenessProbe", "/livez", Probed(live=True, ready=False)),
        ("readinessProbe", "/readyz", Probed(live=False, ready=True)),
    ],
)
def test_probes_are_answered(
    objects: list[Object], parsed: Settings, probe: str, path: str, health: Probed
) -> None:
    """Each probe asks a page of the consumer on its port, and waiting for Kafka restarts nothing."""
    asked = pod.container(objects)[probe]["httpGet"]
    (port,) = pod.container(objects)["ports"]

    assert (asked["path"], asked["port"]) == (path, port["name"])
    assert port["containerPort"] == parsed.metrics_port
    with serving("127.0.0.1", 0, CollectorRegistry(), health) as listening:
        address = f"http://127.0.0.1:{listening}{asked['path']}"
        assert urllib.request.urlopen(address, timeout=10).status == 200


def test_startup_may_take_as_long_as_the_consumer_allows(objects: list[Object], parsed: Settings) -> None:
    """The startup probe waits as long as a consumer that loads and proves its model counts as alive."""
    probe = pod.container(objects)["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= parsed.stall_seconds


def test_loading_counts_as_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the bundle is being read /livez answers 200 and /readyz 503: no probe ends a slow start."""
    loading, stop, loaded, port = threading.Event(), threading.Event(), threading.Event(), free_port()

    def slow(_: Path) -> None:
        loading.set()
        loaded.wait()
        raise BundleError("enough")

    def status(path: str) -> int:
        try:
            return int(urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10).status)
        except urllib.error.HTTPError as error:
            return error.code

    monkeypatch.setattr(bundle, "read", slow)
    given = ["--bundle", "b", "--bootstrap-servers", "127.0.0.1:1", "--metrics-host", "127.0.0.1"]
    parsed = settings.parse([*given, "--metrics-port", str(port)])
    consumer = threading.Thread(target=service.exit_code, args=(parsed, lambda: run(parsed, stop)))
    consumer.start()
    try:
        assert loading.wait(60)
        assert (status("/livez"), status("/readyz")) == (200, 503)
    finally:
        loaded.set()
        consumer.join(60)


def test_grace_period_exceeds_the_drain(objects: list[Object], parsed: Settings) -> None:
    """Kubernetes waits longer for the end than the consumer needs at worst, but not for ever."""
    grace = pod.spec(objects)["terminationGracePeriodSeconds"]
    assert drain.longest_seconds(parsed) < grace <= 2 * drain.longest_seconds(parsed)
    assert "lifecycle" not in pod.container(objects), "a preStop hook takes its time off"


def test_bundle_is_where_the_consumer_looks(objects: list[Object], parsed: Settings) -> None:
    """What is put on the volume of bundles is what the consumer reads, and only reads."""
    mounts = {mount["name"]: mount for mount in pod.container(objects)["volumeMounts"]}
    assert parsed.bundle == Path(mounts["bundles"]["mountPath"]) / "current"
    assert mounts["bundles"]["readOnly"]

    installing = pod.spec(objects).get("initContainers") or _jobs(objects)
    for container in installing:
        (mount,) = container["volumeMounts"]
        assert container["args"] == [mount["mountPath"]]
        assert mount["name"] == "bundles"


def _jobs(objects: list[Object]) -> list[Object]:
    found: list[Object] = only(objects, "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"][
        "containers"
    ]
    return found


def test_what_must_be_written_can_be(objects: list[Object]) -> None:
    """The root is read-only, so what Python calls its temporary directory is a volume."""
    container = pod.container(objects)
    volumes = {volume["name"]: volume for volume in pod.spec(objects)["volumes"]}
    (volume,) = (mount["name"] for mount in container["volumeMounts"] if mount["mountPath"] == "/tmp")

    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert "emptyDir" in volumes[volume]


def test_onnx_runtime_reports_nothing(overlay: list[Object], tmp_path: Path) -> None:
    """In the pod's environment ONNX Runtime leaves no files of its telemetry, and so sends none."""
    variables = pod.environment(overlay, "support", "urgency-router-0")
    subprocess.run(
        [sys.executable, "-c", "import onnxruntime"],
        env={**variables, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")},
        check=True,
    )
    assert not list(tmp_path.iterdir())


def pods(objects: list[Object]) -> list[Object]:
    """The spec of every pod that the objects lead to."""
    specs = [pod.spec(objects)]
    specs += [
        each["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        for each in objects
        if each["kind"] == "CronJob"
    ]
    return specs


def test_pods_are_restricted(objects: list[Object]) -> None:
    """Every pod meets the standard `restricted`: no root, privilege or capability, a seccomp profile."""
    allowed = {"configMap", "emptyDir", "secret", "persistentVolumeClaim"}
    for spec in pods(objects):
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        for container in (*spec.get("initContainers", ()), *spec["containers"]):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            }
        assert {key for volume in spec["volumes"] for key in volume} - {"name"} <= allowed


def test_pods_hold_no_token(objects: list[Object]) -> None:
    """No pod has a token for Kubernetes, nor variables that a Service of some name would set."""
    account = only(objects, "ServiceAccount")
    assert account["automountServiceAccountToken"] is False
    for spec in pods(objects):
        assert spec["serviceAccountName"] == account["metadata"]["name"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False


def test_secret_is_readable_by_the_group_alone(objects: list[Object]) -> None:
    """The files of the Secret are read-only, and for the pod's own group only."""
    secret = [volume["secret"] for volume in pod.spec(objects)["volumes"] if "secret" in volume]
    assert {volume["defaultMode"] for volume in secret} <= {0o440}
    assert (
        pod.spec(objects)["securityContext"]["fsGroup"] == pod.spec(objects)["securityContext"]["runAsGroup"]
    )


def test_resources_are_bounded(objects: list[Object]) -> None:
    """Every container may use what it asks for: the CPU limit tells how many threads to start."""
    for spec in pods(objects):
        for container in (*spec.get("initContainers", ()), *spec["containers"]):
            limits = container["resources"]["limits"]
            assert limits == container["resources"]["requests"]
            assert limits["cpu"].isdecimal()
            assert "memory" in limits


def test_images_are_of_this_version(objects: list[Object]) -> None:
    """The consumer's image has the project's version as its tag, and none has `latest`."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert pod.container(objects)["image"] == f"urgency-router:{version}"
    images = [
        c["image"] for spec in pods(objects) for c in (*spec.get("initContainers", ()), *spec["containers"])
    ]
    assert all(re.fullmatch(r"[a-z-]+:(?!latest)\S+", image) for image in images)


def test_image_of_the_bundle_runs_as_the_pod_does() -> None:
    """The bundle's image runs as the user that the pods run as, and starts the script that installs."""
    dockerfile = (DIRECTORY / "bundle" / "Dockerfile").read_text()
    uid = re.search(r"runAsUser: (\d+)", (DIRECTORY / "base" / "stateful-set.yaml").read_text())
    assert uid
    assert f"USER {uid[1]}:{uid[1]}\n" in dockerfile
    assert "install.sh /usr/local/bin/install-bundle\n" in dockerfile
    assert 'ENTRYPOINT ["install-bundle"]' in dockerfile
