"""report.html as people meet it: opened from disk in Chromium, on a phone, by day and by night."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from pyarrow import parquet

from finetune import model_card, page
from finetune.evaluation import calibration, measure, reliability

CHROMIUM = shutil.which("chromium")
LABELS = ["1", "2", "3", "4", "5"]
ROUTES = {"high": ["1", "2"], "medium": ["3"], "low": ["4", "5"]}
HOSTILE = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\"> & so on"
LONG_WORD = "a" * 300
PHONE = {"width": 360, "height": 740}

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium")


def split(directory: Path, name: str, count: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Write a split of made-up comments, a fifth of them of each label; gives probabilities and labels."""
    draw = np.random.default_rng(len(name))
    labels = np.arange(count) % 5
    logits = draw.normal(size=(count, 5)) + 2 * np.eye(5)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    texts = [f"Comment number {number} says this and that about a thing." for number in range(count)]
    # The surest of all, and wrong.
    for place, text in ((0, HOSTILE), (1, LONG_WORD)):
        texts[place] = text
        probabilities[place] = [0.0005, 0.0005, 0.0005, 0.0005, 0.998]
    columns = {
        "text": texts,
        "label": [LABELS[label] for label in labels],
        "slice": pa.array(["Garden & home", "Books", None][number % 3] for number in range(count)),
        "tokens": (3 + np.arange(count) % 60).tolist(),
        "probabilities": probabilities.tolist(),
    }
    parquet.write_table(pa.table(columns), directory / f"{name}.parquet")
    return probabilities, labels


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that the report is made from."""
    directory = tmp_path_factory.mktemp("checkpoint")
    split(directory, "validation", 200)
    probabilities, labels = split(directory, "test", 300)
    measures = measure(probabilities, labels, LABELS, ROUTES)
    history = [{"epoch": step / 4, "loss": 1.6 - step / 10} for step in range(1, 13)]
    history += [
        {"epoch": epoch, "eval_loss": 1.3 - epoch / 9, "eval_macro_f1": epoch / 5} for epoch in (1, 2, 3)
    ]
    bins = reliability(probabilities, labels)
    measures["before_scaling"] = {**calibration(probabilities, labels), "reliability": bins}
    measures["calibration_error_by_chance"] = 0.0214
    record = {
        "command": "python -m finetune --data 'a & b.tsv' --output checkpoint --seed 7",
        "base_model": "tiny",
        "labels": LABELS,
        "routes": ROUTES,
        "max_length": 64,
        "tail": 16,
        "temperature": 1.0,
        "seed": 7,
        "slice_column": "product_category",
        "data": {
            "files": [
                {
                    "name": name,
                    "extra": name == "more.csv",
                    "rows": 1254,
                    "broken": {"no text": 3},
                    "sha256": "0123456789abcdef",
                }
                for name in ("a & b.tsv", "more.csv")
            ],
            "rows": 2508,
            "broken": 6,
            "duplicates": 2,
            "splits": {"train": 2000, "validation": 200, "test": 300},
            "extra": 400,
            "labels": dict.fromkeys(LABELS, 500),
        },
        "measures": measures,
        "baselines": {"majority": measures},
        "behaviour": [
            {
                "capability": "names swapped",
                "cases": 400,
                "failures": 8,
                "rate": 0.02,
                "limit": 0.01,
                "examples": [HOSTILE],
            },
            {"capability": "sarcasm", "cases": 64, "failures": 0, "rate": 0.0, "limit": None, "examples": []},
        ],
        "history": history,
        "hyperparameters": {"epochs": 3, "best_epoch": 2.0, "batch_size": 16, "learning_rate": 1e-4},
        "device": "x86_64",
        "processes": 1,
        "versions": {"python": "3.11", "torch": "2", "transformers": "5"},
    }
    (directory / "training.json").write_text(json.dumps(record))
    (directory / "report.html").write_text(page.render(directory), encoding="utf-8")
    return directory


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium that reaches nothing but files."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Browser, checkpoint: Path) -> Iterator[Page]:
    """The report on a phone at night, with all that the console said and all that was asked for."""
    context = browser.new_context(viewport=PHONE, color_scheme="dark", offline=True)
    opened = context.new_page()
    opened.said, opened.asked = [], []
    opened.on("console", lambda message: opened.said.append(message.text))
    opened.on("pageerror", lambda error: opened.said.append(str(error)))
    opened.on("request", lambda request: opened.asked.append(request.url))
    opened.goto((checkpoint / "report.html").as_uri())
    yield opened
    context.close()


@needs_chromium
def test_it_is_one_file(opened: Page, checkpoint: Path) -> None:
    """It asks for nothing but itself, and the console stays silent."""
    assert opened.asked == [(checkpoint / "report.html").as_uri()]
    assert opened.said == []


@needs_chromium
def test_comments_cannot_take_it_over(opened: Page) -> None:
    """A comment with HTML and script in it is shown as it was written."""
    assert opened.title() == "How good this model is, and where it is not"
    assert opened.locator("#wrong ~ blockquote").filter(has_text=HOSTILE).count() == 1
    assert opened.locator("script, img").count() == 0


@needs_chromium
def test_every_figure_has_an_alternative_text(opened: Page) -> None:
    """Each picture says in words what it shows, and has a caption."""
    figures = opened.locator("figure")
    assert figures.count() == 5
    for number in range(figures.count()):
        figure = figures.nth(number)
        assert len(figure.locator("[role=img]").get_attribute("aria-label") or "") > 20
        assert figure.locator("svg").bounding_box()["height"] > 100
        assert figure.locator("figcaption").inner_text()


@needs_chromium
def test_no_line_crosses_a_legend(opened: Page) -> None:
    """The words of a legend lie beside the lines that they name."""
    crossed = """texts => texts.filter(text => {
        const box = text.getBoundingClientRect();
        const lines = text.closest("svg").querySelectorAll("#axes_1 > g[id^=line2d] > path");
        return [...lines].some(line => {
            const [length, toScreen] = [line.getTotalLength(), line.getScreenCTM()];
            return Array.from({length: 1001}, (_, step) => step / 1000).some(part => {
                const point = line.getPointAtLength(part * length).matrixTransform(toScreen);
                return box.left < point.x && point.x < box.right && box.top < point.y && point.y < box.bottom;
            });
        });
    }).map(text => text.textContent)"""
    words = opened.locator("figure #legend_1 text")
    assert words.count() == 7
    assert words.evaluate_all(crossed) == []


@needs_chromium
def test_it_fits_a_phone(opened: Page) -> None:
    """Nothing but a table inside its own frame is wider than the screen, not even a word of 300 letters."""
    assert opened.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


@needs_chromium
def test_it_is_dark_at_night(opened: Page) -> None:
    """At night the page is light on dark, pictures included, and by day the other way round."""
    look = "element => getComputedStyle(element).color + getComputedStyle(document.body).backgroundColor"
    label = opened.locator("figure svg text").first
    night = [opened.locator("h1").evaluate(look), label.evaluate("e => getComputedStyle(e).fill")]
    opened.emulate_media(color_scheme="light")
    day = [opened.locator("h1").evaluate(look), label.evaluate("e => getComputedStyle(e).fill")]
    assert brightness(night[0][: night[0].index(")")]) > 200 > 60 > brightness(day[0][: day[0].index(")")])
    assert brightness(night[0][night[0].index(")") :]) < 60 < 200 < brightness(day[0][day[0].index(")") :])
    assert brightness(night[1]) > 200 > 60 > brightness(day[1])


def brightness(colour: str) -> float:
    """The mean of rgb(…)."""
    numbers = [float(part) for part in colour.split("rgb")[-1].strip("a()").split(",")[:3]]
    return sum(numbers) / 3


def test_every_part_is_there(checkpoint: Path) -> None:
    """The report has each part, with the numbers of training.json."""
    html = (checkpoint / "report.html").read_text()
    record = json.loads((checkpoint / "training.json").read_text())
    for part in (
        "baselines",
        "misses",
        "confusion",
        "calibration",
        "slices",
        "behaviour",
        "wrong",
        "data",
        "learning",
        "reproduce",
    ):
        assert f'id="{part}"' in html
    assert f"{100 * record['measures']['accuracy']:.1f} %" in html
    assert "product_category: Garden &amp; home" in html
    assert "2 duplicates were left out" in html
    assert "more.csv (extra)" in html
    assert "Trained on 2,000, of which 400" in html
    assert "<pre>python -m finetune --data &#39;a &amp; b.tsv&#39;" in html
    assert "(below 1 % missed)" in html
    assert html.count("<footer>labelled") == page.WRONG


def test_the_surest_come_first(checkpoint: Path) -> None:
    """The wrong comments are in the order of how sure the model was."""
    wrong = (checkpoint / "report.html").read_text().split('id="wrong"')[1]
    shares = [float(part.split(" with ")[1].split(" %")[0]) for part in wrong.split("<footer>")[1:]]
    assert shares[0] == 99.8
    assert shares == sorted(shares, reverse=True)


def test_the_card(checkpoint: Path) -> None:
    """The model card has the hub's header, the measures, intended use and limits."""
    record = json.loads((checkpoint / "training.json").read_text())
    card = model_card.render(record)
    header = card.split("---\n")[1]
    assert "pipeline_tag: text-classification" in header
    assert f"value: {record['measures']['accuracy']:.4f}".rstrip("0") in header
    assert "a & b.tsv" in header
    assert "more.csv" not in header
    assert "2,000 comments, 400 of them from files that were neither tuned nor tested on, after" in card
    assert "## Intended use" in card
    assert "## Limits" in card
    assert f"| accuracy | {record['measures']['accuracy']:.3f} |" in card
