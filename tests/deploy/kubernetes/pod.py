"""What the kubelet makes of a rendered pod: its variables and its files."""

import re
from pathlib import Path

from tests.deploy.kubernetes.rendering import Object, only


def spec(objects: list[Object]) -> Object:
    """The spec of the consumer's pods."""
    found: Object = only(objects, "StatefulSet")["spec"]["template"]["spec"]
    return found


def container(objects: list[Object]) -> Object:
    """The consumer's container."""
    (found,) = spec(objects)["containers"]
    return dict(found)


def environment(objects: list[Object], namespace: str, name: str) -> dict[str, str]:
    """The variables of the consumer in the pod of that name.

    `$(NAME)` stands for a variable that comes before it, those of envFrom first.
    """
    fields = {"metadata.namespace": namespace, "metadata.name": name}
    variables: dict[str, str] = {}
    for source in container(objects)["envFrom"]:
        config_map = only(objects, "ConfigMap")
        assert source["configMapRef"]["name"] == config_map["metadata"]["name"]
        variables |= config_map["data"]
    for each in container(objects)["env"]:
        variables[each["name"]] = (
            fields[each["valueFrom"]["fieldRef"]["fieldPath"]]
            if "valueFrom" in each
            else re.sub(r"\$\((\w+)\)", lambda found: variables[found[1]], each["value"])
        )
    return variables


def with_files(objects: list[Object], variables: dict[str, str], secrets: Path) -> dict[str, str]:
    """The variables, with the files of the pod's Secret where they lie in `secrets`."""
    mounts = {mount["name"]: mount["mountPath"] for mount in container(objects)["volumeMounts"]}
    for volume in spec(objects)["volumes"]:
        if "secret" in volume:
            inside = f"{mounts[volume['name']]}/"
            variables = {name: value.replace(inside, f"{secrets}/") for name, value in variables.items()}
    return variables
