"""The queries' parts: metrics of what is chosen at the top, and the limits that stand in rules.yaml."""

import re
from pathlib import Path
from typing import Final

import yaml

RULES: Final = Path(__file__).parents[1] / "prometheus" / "rules.yaml"

# What is chosen at the top: services, and replicas of them.
SERVICE: Final = 'namespace=~"$namespace", job=~"$job"'
REPLICA: Final = f'{SERVICE}, instance=~"$instance"'


def objective(name: str) -> float:
    """The objective's `ratio` or `seconds`, which stand in rules.yaml alone."""
    rules = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    expressions = {rule["record"]: rule["expr"] for rule in rules}
    return float(expressions[f"urgency_router:objective:{name}"].removeprefix("vector(").removesuffix(")"))


def limit(alert: str) -> float:
    """What an alert of rules.yaml compares with first."""
    rules = yaml.safe_load(RULES.read_text())["groups"][-1]["rules"]
    (expression,) = [rule["expr"] for rule in rules if rule["alert"] == alert]
    found = re.search(r" [<>] ([0-9.]+)$", expression, re.MULTILINE)
    assert found is not None
    return float(found[1])


def metric(name: str, *also: str) -> str:
    """A metric of the replicas chosen, with these matchers too."""
    return f"urgency_router_{name}{{{', '.join((REPLICA, *also))}}}"


def recorded(name: str) -> str:
    """A recorded series of the services chosen."""
    return f"{name}{{{SERVICE}}}"


def rate(name: str, *by: str) -> str:
    """How much of a counter there is a second, summed by these labels."""
    return f"{_sum(by)} (rate({metric(name)}[$__rate_interval]))"


def increase(name: str, *by: str, also: str = "", over: str = "$__rate_interval") -> str:
    """How much of a counter there is over some time, summed by these labels."""
    return f"{_sum(by)} (increase({metric(name, *filter(None, [also]))}[{over}]))"


def quantile(share: float, name: str, *by: str) -> str:
    """A quantile of a histogram, by these labels."""
    return f"histogram_quantile({share}, {rate(f'{name}_bucket', *by, 'le')})"


def _sum(by: tuple[str, ...]) -> str:
    return f"sum by ({', '.join(by)})" if by else "sum"
