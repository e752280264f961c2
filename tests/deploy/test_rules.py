"""Prometheus's rules: what makes each alert fire, and what does not."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from consumer.connection import flag
from consumer.metrics import DELAY_BUCKETS
from consumer.settings import Settings
from deploy.grafana.promql import RULES, objective
from tests.readme import README

CASES = Path(__file__).with_name("alerts")
RUNBOOK = RULES.parents[1] / "runbook.md"

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="needs promtool, of Debian's package prometheus"
)


def rules() -> list[dict[str, Any]]:
    """Every rule of rules.yaml."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}


def promtool(*arguments: str | Path) -> None:
    """Run promtool, and fail with what it says."""
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_prometheus_takes_the_rules() -> None:
    """Every rule can be read, and no two record the same series."""
    promtool("check", "rules", "--lint-fatal", RULES)


@needs_promtool
@pytest.mark.parametrize("alert", ALERTS)
def test_alert_fires_when_it_should(alert: str) -> None:
    """It fires with these words in each of its cases where it should, and in no other."""
    promtool("test", "rules", CASES / f"{alert}.yaml")


@pytest.mark.parametrize("alert", ALERTS)
def test_alert_has_cases_of_both_kinds(alert: str) -> None:
    """Its cases look at least once for it to fire, and at least once for it not to."""
    cases = yaml.safe_load((CASES / f"{alert}.yaml").read_text())["tests"]
    looks = [look for case in cases for look in case.get("alert_rule_test", ())]
    expected = {bool(look["exp_alerts"]) for look in looks if look["alertname"] == alert}
    assert expected == {True, False}


@pytest.mark.parametrize("alert", ALERTS)
def test_alert_says_what_to_do(alert: str) -> None:
    """It says how bad it is, and leads to a section of the runbook that answers four questions."""
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"deploy/runbook.md#{alert.lower()}"
    section = RUNBOOK.read_text().partition(f"\n## {alert}\n")[2].partition("\n## ")[0]
    answers = re.findall(r"^\*\*(.+?)\.\*\* \S", section, re.MULTILINE)
    assert answers == ["What it means", "Look at", "Do", "Harmless when"]


def test_runbook_has_no_section_for_an_alert_that_is_gone() -> None:
    """Its sections of alerts are those of the rules, in their order."""
    assert re.findall(r"^## (UrgencyRouter\w+)$", RUNBOOK.read_text(), re.MULTILINE) == list(ALERTS)


def test_objective_is_one_of_the_buckets() -> None:
    """How many came in time can be counted, and the seconds are the same wherever the rules have them."""
    assert objective("seconds") in DELAY_BUCKETS
    assert 0 < objective("ratio") < 1
    assert re.findall(r'le="([^"]+)"', RULES.read_text()) == [str(objective("seconds"))]


def test_runbook_links_lead_somewhere() -> None:
    """Each section that the runbook links to, of its own or of the README, is there."""
    text = RUNBOOK.read_text()
    sections = {"": text, "../README.md": README.read_text()}
    links = re.findall(r"\]\(((?:\.\./README\.md)?)#([\w-]+)\)", text)
    missing = [(path, anchor) for path, anchor in links if anchor not in anchors(sections[path])]
    assert links
    assert missing == []


def test_runbook_names_settings_that_there_are() -> None:
    """A flag of the consumer that it advises is one that the consumer takes."""
    advised = set(re.findall(r"(?<=`)--[a-z0-9-]+", RUNBOOK.read_text()))
    assert advised - {flag(name) for name in Settings.model_fields} == {"--force", "--from", "--to"}


def anchors(text: str) -> set[str]:
    """What the headings of a page are called in links."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
