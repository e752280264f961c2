"""The sizing in deploy/README.md is what its formulas make of what was measured."""

import math
import re

import pytest

from consumer import messages, settings
from consumer.messages import Model
from tests.deploy.kubernetes import pod
from tests.deploy.kubernetes.rendering import DIRECTORY, Object, only
from tests.readme import MEASURED

TEXT = (DIRECTORY.parent / "README.md").read_text()
README = DIRECTORY.parents[1] / "README.md"
INPUTS = ("yours", "its limit", "measured")
SIGNS = {ord("\N{MULTIPLICATION SIGN}"): "*", ord("\N{DIVISION SIGN}"): "/"}
# Between two runs of the benchmark on one machine.
ABOUT = 0.15


def rows() -> list[list[str]]:
    """The rows of the sizing table, cell by cell."""
    table = TEXT.partition("<!-- sizing:")[2].partition("<!-- end -->")[0]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if "|" in line]
    return cells[2:]


def number(cell: str) -> float:
    """What a cell says."""
    return float(cell.replace(",", ""))


def column(index: int) -> dict[str, float]:
    """One column's symbols: its inputs, and what its formulas make of them, unrounded."""
    known: dict[str, float] = {}
    for symbol, _, how, *values in rows():
        if how in INPUTS:
            known[symbol] = number(values[index])
        else:
            formula = re.sub(r"(?<=\d),(?=\d)", "", how).translate(SIGNS)
            functions = {"ceil": math.ceil, "min": min, "max": max, "__builtins__": {}}
            known[symbol] = eval(formula, functions, dict(known))
    return known


@pytest.mark.parametrize("index", range(4))
def test_sizing_is_what_its_formulas_give(index: int) -> None:
    """Each cell of the sizing table is what its row's formula makes of the cells above, rounded as it is."""
    computed = column(index)
    for symbol, what, _, *values in rows():
        decimals = len(values[index].partition(".")[2])
        assert number(values[index]) == round(computed[symbol], decimals), what


def test_sizing_starts_from_what_was_measured() -> None:
    """What the table calls measured is about what the README says of a CPU and of a GPU."""
    report = (MEASURED / "report.md").read_text()

    def measured(pattern: str) -> float:
        found = re.search(pattern, report, re.MULTILINE)
        assert found, pattern
        return number(found[1])

    tokens, cores = measured(r"comments of (\d+) tokens"), measured(r"; (\d+) cores;")
    fp32 = measured(r"^\| urgency-router \| ([\d.,]+) \|") * tokens / cores
    int8 = measured(r"^\| urgency-router, int8 \| ([\d.,]+) \|") * tokens / cores
    overhead = report.partition("everything but the model")[2]
    found = re.search(r"^\| urgency-router \| ([\d.,]+) \| ([\d.,]+) \|", overhead, re.MULTILINE)
    assert found
    for index, rate in enumerate((fp32, int8, fp32)):
        assert column(index)["m"] == pytest.approx(rate, rel=ABOUT)
        assert column(index)["t"] == tokens
    for index in range(3):
        assert column(index)["W"] == pytest.approx(number(found[1]), rel=ABOUT)
        assert column(index)["o"] == pytest.approx(number(found[2]), rel=ABOUT)
    gpu = README.read_text().partition("### On a GPU")[2]
    figures = re.search(
        r"([\d,]+) comments a second with one worker, ([\d,]+) with two, of reviews of (\d+)", gpu
    )
    assert figures
    one, two, tokens = map(number, figures.groups())
    assert column(3)["t"] == tokens
    assert column(3)["W"] == pytest.approx(one, rel=ABOUT)
    assert column(3)["m"] == pytest.approx(two * tokens, rel=ABOUT)


def test_a_label_adds_about_as_much_as_the_sizing_says() -> None:
    """A label adds about 240 bytes to a message: the classification, and three headers."""

    class Record:
        key, headers, timestamp = b"customer-7", (), 1_700_000_000_000
        value = b'{"id": 7, "text": "The charger smells of burning and the app has logged me out."}'

    labelled = messages.labelled(
        Record,
        document=Record.value,
        topic="comments.high",
        urgency="high",
        label="1",
        probabilities=[0.871234, 0.101, 0.020123, 0.004123, 0.003766],
        model=Model("stars", "3f1c0a9be2d4", ("1", "2", "3", "4", "5")),
        now=Record.timestamp,
        max_timestamp_age=86_400_000,
    )
    (added,) = re.findall(r"a label adds (\d+) bytes", TEXT)
    assert labelled.size - messages.size(Record) == pytest.approx(int(added), rel=ABOUT)


def test_thresholds_are_those_of_the_overlays(overlay: list[Object]) -> None:
    """The README names each overlay's lagThreshold, and it is above what is always in flight."""
    (trigger,) = only(overlay, "ScaledObject")["spec"]["triggers"]
    threshold = int(trigger["metadata"]["lagThreshold"])
    assert f"{threshold:,}" in TEXT.partition("### Autoscaling")[2].partition("\n## ")[0]
    gpu = pod.container(overlay)["resources"]["limits"].get("nvidia.com/gpu")
    defaults = settings.parse(["--bundle", "b", "--bootstrap-servers", "b:1"])
    in_flight = 2 * (defaults.max_batch_messages if gpu else column(0)["R"] * defaults.max_batch_seconds)
    assert threshold > in_flight
