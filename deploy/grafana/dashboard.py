"""The dashboard. `python -m deploy.grafana.dashboard` writes dashboard.json, which Grafana reads.

What several replicas make together comes from the series that deploy/prometheus/rules.yaml records, what each
of them does from the metrics themselves.
"""

import json
from pathlib import Path
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from deploy.grafana import batches, kafka, model, overview
from deploy.grafana.panels import SOURCE, runbook
from deploy.grafana.promql import SERVICE

PATH: Final = Path(__file__).with_name("dashboard.json")
# Put the address at which you read it in its place.
RUNBOOK: Final = "deploy/runbook.md"


def variables() -> list[Any]:
    """What is chosen at the top, from the data source down to the replica."""
    chosen = {
        "namespace": ("Namespace", "urgency_router_ready, namespace"),
        "job": ("Service", 'urgency_router_ready{namespace=~"$namespace"}, job'),
        "instance": ("Replica", f"urgency_router_ready{{{SERVICE}}}, instance"),
    }
    return [
        dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"),
        *(_labels(name, label, f"label_values({of})") for name, (label, of) in chosen.items()),
        dashboard.ConstantVariable("runbook").label("Where the runbook is read").value(RUNBOOK),
    ]


def _labels(name: str, label: str, asked: str) -> dashboard.QueryVariable:
    variable = dashboard.QueryVariable(name).label(label).datasource(SOURCE)
    # 1 is Grafana's number for the values of a label.
    variable.query({"query": asked, "refId": name, "qryType": 1}).definition(asked)
    variable.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).sort(VariableSort.ALPHABETICAL_ASC)
    # All is also what has no such label: outside Kubernetes there are no namespaces.
    variable.multi(True).include_all(True).all_value(".*")
    return variable.current(VariableOption(selected=True, text="All", value="$__all"))


def annotations() -> list[Any]:
    """What is marked wherever there is a time axis: where a model begins, and alerts."""
    info = f"urgency_router_model_info{{{SERVICE}}}"
    running = "count by (name, version) ({} == 1)"
    return [
        dashboard.AnnotationQuery()
        .name("Models")
        .datasource(SOURCE)
        .enable(True)
        .icon_color("purple")
        .expr(f"{running.format(info)} unless {running.format(f'{info} offset 1m')}")
        .step("30s")
        .title_format("{{name}} {{version}}")
        .text_format("a consumer runs it that did not before")
        .tag_keys("name,version"),
        dashboard.AnnotationQuery()
        .name("Alerts")
        .datasource(SOURCE)
        .enable(True)
        .icon_color("red")
        .expr(f'ALERTS{{{SERVICE}, alertname=~"UrgencyRouter.*", alertstate="firing"}}')
        .step("60s")
        .title_format("{{alertname}}")
        .text_format("{{job}} {{instance}}")
        .tag_keys("severity"),
    ]


def build() -> dict[str, Any]:
    """The dashboard as Grafana reads it."""
    board = (
        dashboard.Dashboard("urgency-router")
        .uid("urgency-router")
        .description("Comments from Kafka, classified, and routed by urgency.")
        .tags(["urgency-router", "kafka"])
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time("now-3h", "now")
        .refresh("30s")
        .editable()
        .variables(variables())
        .annotations(annotations())
        .link(runbook("Runbook"))
    )
    numbered = iter(range(1, 1000))
    rows = {"Overview": overview, "Batches and stages": batches, "Model": model, "Kafka": kafka}
    for title, row in rows.items():
        board.with_row(dashboard.Row(title).id(next(numbered)))
        for panel in row.panels():
            board.with_panel(panel.id(next(numbered)))
    built: dict[str, Any] = json.loads(JSONEncoder().encode(board.build()))
    return built


def text() -> str:
    """What dashboard.json holds."""
    return json.dumps(build(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PATH.write_text(text())
