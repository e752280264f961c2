"""deploy/README.md says what is there, and what it shows works."""

import os
import re
from pathlib import Path

import kubernetes_validate

from consumer import settings
from tests import drain
from tests.deploy.kubernetes import pod
from tests.deploy.kubernetes.crds import CUSTOM, KINDS
from tests.deploy.kubernetes.rendering import DIRECTORY, Object, build

README = DIRECTORY.parent / "README.md"
TEXT = README.read_text()


def test_everything_is_in_the_index() -> None:
    """Each directory and page beside the README has a line in its table."""
    index = TEXT.partition("\n## ")[0]
    there = {each.name for each in README.parent.iterdir() if each.name[0] not in "._"} - {README.name}
    assert not {name for name in there if f"`{name}" not in index}


def test_links_lead_somewhere() -> None:
    """Every link leads to a file that is there, and every anchor to a heading."""
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        path, _, anchor = target.partition("#")
        page = (README.parent / path) if path else README
        assert page.exists(), target
        headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE) if anchor else []
        names = {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}
        assert not anchor or anchor in names, target


def test_own_overlay_works_as_shown(kubectl: None, tmp_path: Path) -> None:
    """The kustomization in the README renders valid objects with its images, settings and namespace."""
    (shown,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    lines = [line[3:] for line in shown.splitlines()]
    here = os.path.relpath(DIRECTORY, tmp_path)
    own = "\n".join(lines).replace("../urgency-router/deploy/kubernetes", here)
    assert here in own
    (tmp_path / "kustomization.yaml").write_text(own)

    objects = build(tmp_path)
    _assert_valid(objects)
    assert {each["metadata"]["namespace"] for each in objects} == {"support"}
    (installing,) = pod.spec(objects)["initContainers"]
    for image in (installing["image"], pod.container(objects)["image"]):
        assert image.startswith("registry.example/urgency-router")
        assert not image.endswith(":1")
    variables = pod.environment(objects, "support", "urgency-router-0")
    assert variables["CONSUMER_BOOTSTRAP_SERVERS"] == "kafka-1.example:9093,kafka-2.example:9093"


def _assert_valid(objects: list[Object]) -> None:
    for each in objects:
        if each["kind"] in KINDS:
            CUSTOM.validate_python(each)
        else:
            kubernetes_validate.validate(each, "1.37", strict=True)


def test_secret_is_made_of_the_files_that_are_read(overlay: list[Object]) -> None:
    """The command in the README puts into the Secret each file that the consumer is told of, and no other."""
    given = set(re.findall(r"--from-file=(\S+)", TEXT))
    variables = pod.environment(overlay, "support", "urgency-router-0")
    assert given == {value.rpartition("/")[2] for name, value in variables.items() if name.endswith("_FILE")}
    (volume,) = (volume["secret"] for volume in pod.spec(overlay)["volumes"] if "secret" in volume)
    assert f"create secret generic {volume['secretName']} " in TEXT


def test_times_of_the_end_are_those_of_the_defaults(overlay: list[Object]) -> None:
    """The drain and the grace period that the README names are those that are computed and rendered."""
    parsed = settings.parse(["--bundle", "b", "--bootstrap-servers", "b:1"])
    grace = pod.spec(overlay)["terminationGracePeriodSeconds"]
    assert f"which is {drain.longest_seconds(parsed):g} seconds with the defaults" in TEXT
    assert f"`terminationGracePeriodSeconds` is {grace}:" in TEXT
