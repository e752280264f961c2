"""The Grafana dashboard: that it is the code's, and that it can be read."""

import json
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as schema

from deploy.grafana import dashboard
from deploy.grafana.promql import RULES, limit

BUILT = dashboard.build()
PANELS: list[dict[str, Any]] = [panel for panel in BUILT["panels"] if panel["type"] != "row"]
ALERTS = yaml.safe_load(RULES.read_text())["groups"][-1]["rules"]
# How wide Grafana's grid is.
COLUMNS = 24


def test_committed_dashboard_is_that_of_the_code() -> None:
    """dashboard.json is what the code makes; `make dashboard` writes it."""
    assert dashboard.PATH.read_text() == dashboard.text()


def test_dashboard_is_of_the_schema() -> None:
    """Read with Grafana's types and written again, it is the same."""
    read = schema.Dashboard.from_json(json.loads(dashboard.PATH.read_text()))
    assert json.loads(JSONEncoder().encode(read)) == BUILT


def test_overview_comes_first() -> None:
    """The rows are those that an operator goes through from top to bottom."""
    rows = [panel["title"] for panel in BUILT["panels"] if panel["type"] == "row"]
    assert rows == ["Overview", "Batches and stages", "Model", "Kafka"]
    assert BUILT["panels"][0]["title"] == "Overview"


def test_panels_fill_the_grid() -> None:
    """No panel covers another, and no row of them leaves a gap."""
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in BUILT["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert sorted(cells) == [(x, y) for x in range(COLUMNS) for y in range(max(y for _, y in cells) + 1)]


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: f"{panel['id']} {panel['title']}")
def test_panel_explains_itself(panel: dict[str, Any]) -> None:
    """It says what it shows, asks the data source that was chosen, and names its queries apart."""
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    references = [target["refId"] for target in panel["targets"]]
    assert references == list("ABC"[: len(references)])


def test_links_lead_to_alerts() -> None:
    """Panels lead to the runbook's sections of alerts, and each alert has a panel that does."""
    alerts = {rule["alert"].lower() for rule in ALERTS}
    linked = {link["url"] for panel in PANELS for link in panel.get("links", ())}
    assert linked == {f"${{runbook}}#{alert}" for alert in alerts}


@pytest.mark.parametrize(
    ("alert", "compared"),
    [
        ("UrgencyRouterDeadLetters", "job:urgency_router_dead_letters:ratio_rate15m > "),
        ("UrgencyRouterDelayBudgetBurningFast", "job:urgency_router_delay_burn:rate1h > "),
        ("UrgencyRouterMixDrifting", "job:urgency_router_mix:psi_1d > "),
        ("UrgencyRouterModelDisagreement", "job:urgency_router_shadow_agreement:ratio_1h < "),
    ],
)
def test_lines_are_drawn_where_alerts_fire(alert: str, compared: str) -> None:
    """The number that is read from an alert's expression is the one that it compares this series with."""
    expressions = {rule["alert"]: rule["expr"] for rule in ALERTS}
    assert f"{compared}{limit(alert):g}\n" in expressions[alert]
