"""The README's generated tables: `python -m tests.readme` writes them anew, and a test keeps them equal."""

import re
from pathlib import Path

import yaml

from consumer import metrics, settings
from consumer.messages import REASONS

README = Path(__file__).parents[1] / "README.md"
RULES = README.parent / "deploy" / "prometheus" / "rules.yaml"
# What `make bench` wrote, copied there to be shown.
MEASURED = Path(__file__).parent / "bench" / "results"


def generate(readme: str) -> str:
    """The README with every generated table as the code has it now."""
    reasons = ["| `error.reason` | what |", "| --- | --- |"]
    reasons += [f"| `{reason}` | {text} |" for reason, text in REASONS.items()]
    tables = {
        "reasons": "\n".join(reasons),
        "alerts": _alerts(),
        "settings": settings.markdown_table(),
        "metrics": metrics.markdown_table(),
        "bench": (MEASURED / "report.md").read_text().strip(),
        "fine-tuning": (MEASURED / "fine-tuning.md").read_text().strip(),
        "soak": (MEASURED / "soak.md").read_text().strip(),
    }
    for name, table in tables.items():
        between = re.compile(rf"(<!-- {name}: [^>]*-->\n).*?(<!-- end -->)", re.DOTALL)
        readme, replaced = between.subn(lambda match, t=table: f"{match[1]}\n{t}\n\n{match[2]}", readme)
        assert replaced == 1, f"README.md has no place for the table of {name}"
    return readme


def _alerts() -> str:
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    rows = ["| alert | severity | what |", "| --- | --- | --- |"]
    for rule in filter(lambda rule: "alert" in rule, rules):
        said, severity = rule["annotations"], rule["labels"]["severity"]
        rows.append(f"| [`{rule['alert']}`]({said['runbook_url']}) | {severity} | {said['summary']} |")
    return "\n".join(rows)


if __name__ == "__main__":
    README.write_text(generate(README.read_text()))
