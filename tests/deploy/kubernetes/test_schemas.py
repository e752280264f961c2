"""Every rendered object is one that Kubernetes, KEDA and the Prometheus operator know."""

import copy
from typing import Any

import kubernetes_validate
import pytest
from pydantic import ValidationError

from tests.deploy.kubernetes.crds import CUSTOM, KINDS
from tests.deploy.kubernetes.rendering import Object, only

# The oldest has PodDisruptionBudget.unhealthyPodEvictionPolicy as a beta that is on.
VERSIONS = ("1.27", "1.37")


@pytest.mark.parametrize("version", VERSIONS)
def test_core_objects_fit_their_schemas(objects: list[Object], version: str) -> None:
    """Each object of Kubernetes' own has only fields that this version has, of their types."""
    core = [each for each in objects if each["kind"] not in KINDS]
    assert len(core) >= 6
    for each in core:
        assert kubernetes_validate.validate(each, version, strict=True) == version


def test_custom_objects_fit_what_is_documented(objects: list[Object]) -> None:
    """Each custom object has all fields that it needs, no unknown one, and each of its type."""
    for each in objects:
        if each["kind"] in KINDS:
            CUSTOM.validate_python(each)


def change(each: Object, path: tuple[Any, ...], value: Any) -> Object:
    """A copy of an object with another value at one place; None takes it out."""
    changed = copy.deepcopy(each)
    inner: Any = changed
    for step in path[:-1]:
        inner = inner[step]
    if value is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return changed


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("ScaledObject", ("spec", "maxReplicas"), 4),
        ("ScaledObject", ("spec", "minReplicaCount"), "2"),
        ("ScaledObject", ("spec", "triggers", 0, "metadata", "lagThreshold"), 3000),
        ("ScaledObject", ("spec", "triggers", 0, "metadata", "topicFromEnv"), None),
        ("TriggerAuthentication", ("spec", "secretTargetRef", 0, "key"), None),
        ("PodMonitor", ("spec", "podMetricsEndpoints", 0, "interval"), "15"),
        ("PodMonitor", ("spec", "selector", "labels"), {}),
    ],
)
def test_schemas_of_custom_objects_are_strict(
    overlay: list[Object], kind: str, path: tuple[Any, ...], value: Any
) -> None:
    """A field that is unknown, missing, or of another type does not pass."""
    with pytest.raises(ValidationError):
        CUSTOM.validate_python(change(only(overlay, kind), path, value))
