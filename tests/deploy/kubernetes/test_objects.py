"""The objects fit each other, and the overlays differ in nothing but the device."""

from typing import Any

import pytest

from consumer.connection import variable
from tests.deploy.kubernetes import pod
from tests.deploy.kubernetes.crds import KINDS
from tests.deploy.kubernetes.rendering import Object, only, render


def matches(selector: dict[str, str], labels: dict[str, str]) -> bool:
    """Whether a selector finds what has these labels."""
    return selector.items() <= labels.items()


def selectors(objects: list[Object]) -> dict[str, dict[str, str]]:
    """What finds the consumer's pods: who looks, and for which labels."""
    spread = pod.spec(objects)["topologySpreadConstraints"]
    return {
        "StatefulSet": only(objects, "StatefulSet")["spec"]["selector"]["matchLabels"],
        "Service": only(objects, "Service")["spec"]["selector"],
        "PodDisruptionBudget": only(objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        "NetworkPolicy": only(objects, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        "PodMonitor": only(objects, "PodMonitor")["spec"]["selector"]["matchLabels"],
        **{each["topologyKey"]: each["labelSelector"]["matchLabels"] for each in spread},
    }


def test_selectors_find_the_consumers(objects: list[Object]) -> None:
    """Whoever selects pods finds those of the consumer, and no other pod of these objects."""
    consumers = only(objects, "StatefulSet")["spec"]["template"]["metadata"]["labels"]
    others = [
        each["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
        for each in objects
        if each["kind"] == "CronJob"
    ]
    for who, selector in selectors(objects).items():
        assert matches(selector, consumers), who
        assert not any(matches(selector, other) for other in others), who


def test_objects_find_each_other(objects: list[Object]) -> None:
    """Every name by which an object is meant is that of one of these objects."""
    stateful_set = only(objects, "StatefulSet")["spec"]
    assert stateful_set["serviceName"] == only(objects, "Service")["metadata"]["name"]
    assert pod.spec(objects)["serviceAccountName"] == only(objects, "ServiceAccount")["metadata"]["name"]
    ports = [port["name"] for port in pod.container(objects)["ports"]]
    assert [port["targetPort"] for port in only(objects, "Service")["spec"]["ports"]] == ports
    assert [each["port"] for each in only(objects, "PodMonitor")["spec"]["podMetricsEndpoints"]] == ports
    claims = [each["metadata"]["name"] for each in objects if each["kind"] == "PersistentVolumeClaim"]
    volumes = pod.spec(objects)["volumes"]
    used = [volume["persistentVolumeClaim"] for volume in volumes if "persistentVolumeClaim" in volume]
    assert [volume["claimName"] for volume in used] == claims


def test_every_object_says_what_it_belongs_to(objects: list[Object]) -> None:
    """Each object has the label by which all of them are listed."""
    assert {each["metadata"]["labels"]["app.kubernetes.io/name"] for each in objects} == {"urgency-router"}


def differences(one: Any, other: Any, path: str = "") -> set[str]:
    """The paths at which two values differ, lists item by item."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = one.keys() | other.keys()
        return {
            found
            for key in keys
            for found in differences(one.get(key), other.get(key), f"{path}/{key}".removeprefix("/"))
        }
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return {found for index, pair in pairs for found in differences(*pair, f"{path}/{index}")}
    return set() if one == other else {path}


def test_overlays_differ_in_the_device_alone(kubectl: None) -> None:
    """gpu asks for a GPU and lets nothing replace it, cpu for none; the rest is what follows from that."""
    cpu, gpu = ({each["kind"]: each for each in render(f"overlays/{overlay}")} for overlay in ("cpu", "gpu"))
    limits = "StatefulSet/spec/template/spec/containers/0/resources/limits"
    assert differences(cpu, gpu) == {
        "ConfigMap/data/CONSUMER_DEVICE",
        # Its name ends with a hash of its data.
        "ConfigMap/metadata/name",
        "StatefulSet/spec/template/spec/containers/0/envFrom/0/configMapRef/name",
        f"{limits}/nvidia.com/gpu",
        f"{limits}/memory",
        f"{limits}/nvidia.com/gpu".replace("limits", "requests"),
        f"{limits}/memory".replace("limits", "requests"),
        "StatefulSet/spec/template/spec/tolerations",
        "ScaledObject/spec/maxReplicaCount",
        "ScaledObject/spec/triggers/0/metadata/lagThreshold",
    }
    assert pod.container(list(gpu.values()))["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_a_changed_setting_is_rolled_out(kubectl: None) -> None:
    """Another value of a setting makes another ConfigMap, so that the pods are made anew."""
    text = (
        "configMapGenerator: [{name: urgency-router, behavior: merge, literals: [CONSUMER_LOG_LEVEL=debug]}]"
    )
    before, after = render("overlays/cpu"), render("overlays/cpu", text=text)

    named = [pod.container(each)["envFrom"][0]["configMapRef"]["name"] for each in (before, after)]
    assert named[0] != named[1]
    assert pod.environment(after, "support", "urgency-router-0")["CONSUMER_LOG_LEVEL"] == "debug"


def test_a_prefix_reaches_every_name(kubectl: None) -> None:
    """With a namePrefix of one's own the objects still find each other, KEDA's among them."""
    objects = render("overlays/gpu", "shared-bundles", text="namePrefix: eu-\nnamespace: support")

    test_objects_find_each_other(objects)
    scaled = only(objects, "ScaledObject")["spec"]
    assert scaled["scaleTargetRef"]["name"] == only(objects, "StatefulSet")["metadata"]["name"]
    authentication = only(objects, "TriggerAuthentication")["metadata"]["name"]
    assert scaled["triggers"][0]["authenticationRef"]["name"] == authentication
    assert {each["metadata"]["namespace"] for each in objects} == {"support"}


def test_budget_allows_a_rollout(objects: list[Object]) -> None:
    """Pods can be evicted one by one, fewer than there are at least, and those that are not ready anyhow."""
    budget = only(objects, "PodDisruptionBudget")["spec"]
    fewest = only(objects, "ScaledObject")["spec"]["minReplicaCount"]

    assert 0 < budget["maxUnavailable"] < fewest
    assert "minAvailable" not in budget
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    assert only(objects, "StatefulSet")["spec"]["updateStrategy"] == {"type": "RollingUpdate"}


def test_network_lets_kafka_names_and_scrapes_through(objects: list[Object]) -> None:
    """The policy lets out what goes to Kafka and to name servers, lets in scrapes, and lets nothing else."""
    policy = only(objects, "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]

    (incoming,) = policy["ingress"]
    (scraped,) = only(objects, "PodMonitor")["spec"]["podMetricsEndpoints"]
    assert [port["port"] for port in incoming["ports"]] == [scraped["port"]]
    assert incoming["from"]

    names, brokers = policy["egress"]
    assert {(port["port"], port["protocol"]) for port in names["ports"]} == {(53, "UDP"), (53, "TCP")}
    (ports,) = brokers["ports"]
    servers = only(objects, "ConfigMap")["data"][variable("bootstrap_servers")]
    for server in servers.split(","):
        assert ports["port"] <= int(server.rpartition(":")[2]) <= ports["endPort"]


def test_pods_are_spread_but_never_kept_waiting(objects: list[Object]) -> None:
    """Pods go to different zones and nodes where there are any, and start where there are none."""
    spread = pod.spec(objects)["topologySpreadConstraints"]
    assert [each["topologyKey"] for each in spread] == [
        "topology.kubernetes.io/zone",
        "kubernetes.io/hostname",
    ]
    assert {each["whenUnsatisfiable"] for each in spread} == {"ScheduleAnyway"}


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_base_and_a_device_are_enough(kubectl: None, device: str) -> None:
    """Where a cluster has neither KEDA nor the Prometheus operator, none of their objects are there."""
    objects = render("base", device)
    assert not [each for each in objects if each["kind"] in KINDS]
    assert pod.environment(objects, "support", "urgency-router-0")["CONSUMER_DEVICE"]
    assert only(objects, "StatefulSet")["spec"]["replicas"] == 2
