"""KEDA scales what the consumers can share, by the lag of what they read."""

import pytest

from consumer.connection import variable
from consumer.settings import Settings
from tests.deploy.kubernetes import pod
from tests.deploy.kubernetes.rendering import Object, only, render

# As KEDA spells them.
MECHANISMS = {"SCRAM-SHA-512": "scram_sha512", "SCRAM-SHA-256": "scram_sha256", "PLAIN": "plaintext"}


def setting(objects: list[Object], name: str) -> str:
    """A setting's value in the pod, or its default."""
    default = str(Settings.model_fields[name].default)
    return pod.environment(objects, "support", "urgency-router-0").get(variable(name), default)


def trigger(objects: list[Object]) -> dict[str, str]:
    """What the trigger is told."""
    (found,) = only(objects, "ScaledObject")["spec"]["triggers"]
    return dict(found["metadata"])


def test_replicas_share_the_partitions_evenly(objects: list[Object]) -> None:
    """At most as many workers as partitions, and both bounds of the replicas divide them evenly."""
    scaled = only(objects, "ScaledObject")["spec"]
    partitions, workers = (int(setting(objects, name)) for name in ("topic_partitions", "workers"))

    assert scaled["minReplicaCount"] <= scaled["maxReplicaCount"]
    assert scaled["maxReplicaCount"] * workers <= partitions
    for replicas in (scaled["minReplicaCount"], scaled["maxReplicaCount"]):
        assert partitions % (replicas * workers) == 0
    assert trigger(objects)["ensureEvenDistributionOfPartitions"] == "true"


def test_keda_reads_what_the_consumer_reads(objects: list[Object]) -> None:
    """Brokers, group and topic are the consumer's own variables, and a new group starts alike."""
    variables = pod.environment(objects, "support", "urgency-router-0")
    target = only(objects, "ScaledObject")["spec"]["scaleTargetRef"]
    told = trigger(objects)

    assert target["envSourceContainerName"] == pod.container(objects)["name"]
    assert (told["bootstrapServersFromEnv"], told["consumerGroupFromEnv"], told["topicFromEnv"]) == (
        variable("bootstrap_servers"),
        variable("group_id"),
        variable("input_topic"),
    )
    assert {told[name] for name in told if name.endswith("FromEnv")} <= variables.keys()
    assert told["offsetResetPolicy"] == setting(objects, "auto_offset_reset")


def test_keda_logs_in_as_the_consumer_does(objects: list[Object]) -> None:
    """KEDA encrypts and logs in where the consumer does, in the same way, from the same Secret."""
    protocol = setting(objects, "security_protocol")
    told = trigger(objects)
    assert told.get("tls", "disable") == ("enable" if protocol.endswith("SSL") else "disable")
    mechanism = MECHANISMS[setting(objects, "sasl_mechanism")] if protocol.startswith("SASL") else None
    assert told.get("sasl") == mechanism

    authentications = [each["spec"] for each in objects if each["kind"] == "TriggerAuthentication"]
    wanted = {"SASL_SSL": {"password", "ca"}, "SSL": {"ca", "cert", "key"}, "PLAINTEXT": set()}[protocol]
    asked = [secret for spec in authentications for secret in spec["secretTargetRef"]]
    assert {secret["parameter"] for secret in asked} == wanted
    mounted = [volume["secret"] for volume in pod.spec(objects)["volumes"] if "secret" in volume]
    assert {secret["name"] for secret in asked} == {volume["secretName"] for volume in mounted}
    users = [each["name"] for spec in authentications for each in spec.get("env", ())]
    assert users == ([variable("sasl_username")] if mechanism else [])


def test_keda_reads_the_files_that_the_consumer_reads(objects: list[Object]) -> None:
    """Each key of the Secret that KEDA asks for is a file that the consumer is told of, and the other way."""
    files = {
        value.rpartition("/")[2]
        for name, value in pod.environment(objects, "support", "urgency-router-0").items()
        if name.endswith("_FILE")
    }
    authentications = [each["spec"] for each in objects if each["kind"] == "TriggerAuthentication"]
    assert {secret["key"] for spec in authentications for secret in spec["secretTargetRef"]} == files


def test_marks_of_transactions_start_nothing(objects: list[Object]) -> None:
    """A lag of 1 in every partition, which transactions leave for ever, scales nothing up nor wakes it."""
    partitions = int(setting(objects, "topic_partitions"))
    assert int(trigger(objects)["activationLagThreshold"]) >= partitions
    assert int(trigger(objects)["lagThreshold"]) > partitions
    assert only(objects, "ScaledObject")["spec"]["minReplicaCount"] > 0


@pytest.mark.parametrize("overlay", ["overlays/cpu", "overlays/gpu"])
def test_one_alone_decides_how_many(kubectl: None, overlay: str) -> None:
    """Where KEDA scales, the StatefulSet names no number, which each apply would set back; else two."""
    assert "replicas" not in only(render(overlay), "StatefulSet")["spec"]
    assert only(render("base"), "StatefulSet")["spec"]["replicas"] == 2


def test_scaling_down_keeps_to_even_counts(objects: list[Object]) -> None:
    """No step takes away more than half, and the pods of one step have ended before the next."""
    advanced = only(objects, "ScaledObject")["spec"]["advanced"]
    down = advanced["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
    grace = pod.spec(objects)["terminationGracePeriodSeconds"]
    (policy,) = down["policies"]
    assert (policy["type"], policy["value"]) == ("Percent", 50)
    assert policy["periodSeconds"] > grace
    assert down["stabilizationWindowSeconds"] > grace
