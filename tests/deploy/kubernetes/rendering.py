"""What `kubectl apply -k` would send: the objects that kustomize makes of a directory."""

import functools
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import yaml

DIRECTORY = Path(__file__).parents[3] / "deploy" / "kubernetes"
Object = dict[str, Any]

# From there on `labels` and components are known.
OLDEST = 5


@functools.cache
def kustomize() -> tuple[str, ...] | None:
    """The command that renders a directory, None where there is none that is new enough."""
    for asked, command in (
        (("kubectl", "version", "--client", "--output", "json"), ("kubectl", "kustomize")),
        (("kustomize", "version"), ("kustomize", "build")),
    ):
        if shutil.which(asked[0]) and _major(subprocess.run(asked, capture_output=True, text=True)) >= OLDEST:
            return command
    return None


def _major(answer: "subprocess.CompletedProcess[str]") -> int:
    try:
        version = json.loads(answer.stdout).get("kustomizeVersion", "")
    except ValueError:
        version = answer.stdout
    found = re.match(r"v(\d+)\.", version.strip())
    return int(found.group(1)) if found else 0


@functools.cache
def render(overlay: str, *components: str, text: str = "") -> list[Object]:
    """The objects of an overlay, with further components, and with more lines in one's own kustomization."""
    with tempfile.TemporaryDirectory() as own:
        added = ", ".join(os.path.relpath(DIRECTORY / "components" / name, own) for name in components)
        lines = [
            "apiVersion: kustomize.config.k8s.io/v1beta1",
            "kind: Kustomization",
            f"resources: [{os.path.relpath(DIRECTORY / overlay, own)}]",
            f"components: [{added}]",
        ]
        Path(own, "kustomization.yaml").write_text("\n".join([*lines, text]))
        return build(own)


def build(directory: str | Path) -> list[Object]:
    """The objects of a directory that holds a kustomization."""
    command = kustomize()
    assert command, "ask for the fixture `kubectl` first"
    done = subprocess.run([*command, str(directory)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def only(objects: list[Object], kind: str) -> Object:
    """The one object of that kind."""
    (found,) = (each for each in objects if each["kind"] == kind)
    return found
