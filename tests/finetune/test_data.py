"""Reading files of comments row by row."""

import csv
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from finetune import data
from finetune.data import Row, clean, read_rows
from finetune.errors import DataError

ROWS = [("1", 'It "broke"\ton day one; 3" short'), ("5", "Grüße, ganz toll 👍")]
AMAZON_COLUMNS = (
    "marketplace customer_id review_id product_id product_parent product_title product_category star_rating "
    "helpful_votes total_votes vine verified_purchase review_headline review_body review_date"
)
AMAZON_HEADER = AMAZON_COLUMNS.replace(" ", "\t") + "\n"


def amazon(star: str, body: str, *, title: str = "A kettle", headline: str = "Hm") -> str:
    """One line of the published format."""
    return f"US\t7\tR1\tB1\t9\t{title}\tKitchen\t{star}\t0\t0\tN\tY\t{headline}\t{body}\t2015-08-31\n"


def labelled(path: Path) -> list[tuple[str | None, str]]:
    """Pairs (label, text) of a file without broken rows."""
    rows = list(read_rows(path))
    assert [row.problem for row in rows] == [None] * len(rows)
    return [(row.label, row.text) for row in rows]


def problems(path: Path) -> list[str | None]:
    """The problem of each row of a file, None where it has none."""
    return [row.problem for row in read_rows(path)]


def test_amazon_tsv_has_no_quoting(tmp_path: Path) -> None:
    """A quotation mark in the published Amazon TSV is a character like any other."""
    path = tmp_path / "reviews.tsv"
    path.write_text(AMAZON_HEADER + amazon("1", '"Broke on day one') + amazon("5", 'a 3" screw"'))
    assert labelled(path) == [("1", '"Broke on day one'), ("5", 'a 3" screw"')]


def test_tsv_splits_on_newlines_only(tmp_path: Path) -> None:
    """A carriage return or a Unicode line separator inside a comment does not end its row."""
    path = tmp_path / "reviews.tsv"
    path.write_bytes((AMAZON_HEADER + amazon("2", "one\rtwo\u2028three\x0bfour")).encode())
    assert labelled(path) == [("2", "one\rtwo\u2028three\x0bfour")]


def test_csv_is_quoted(tmp_path: Path) -> None:
    """CSV fields may hold commas, quotation marks and newlines, and the file may start with a mark."""
    path = tmp_path / "reviews.csv"
    rows = [*ROWS, ("3", "one,\ntwo")]
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows([("star_rating", "review_body"), *rows])
    assert labelled(path) == rows


@pytest.mark.parametrize("ending", ["jsonl", "ndjson"])
def test_json_lines(tmp_path: Path, ending: str) -> None:
    """JSON Lines are read, stars as numbers or strings."""
    path = tmp_path / f"reviews.{ending}"
    lines = [{"star_rating": int(star), "review_body": text} for star, text in ROWS]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert labelled(path) == ROWS


def test_parquet(tmp_path: Path) -> None:
    """Parquet is read, and a star stored as a float is the whole number it stands for."""
    path = tmp_path / "reviews.parquet"
    stars, texts = zip(*ROWS, strict=True)
    parquet.write_table(pa.table({"star_rating": [float(s) for s in stars], "review_body": texts}), path)
    assert labelled(path) == ROWS


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("reviews.tsv.gz", AMAZON_HEADER + amazon("4", "Good")),
        ("reviews.csv.gz", "star_rating,review_body\n4,Good\n"),
        ("reviews.jsonl.gz", '{"star_rating": 4, "review_body": "Good"}\n'),
    ],
)
def test_gzip(tmp_path: Path, name: str, content: str) -> None:
    """Each text format may be gzipped."""
    path = tmp_path / name
    path.write_bytes(gzip.compress(content.encode()))
    assert labelled(path) == [("4", "Good")]


def test_other_columns_come_along(tmp_path: Path) -> None:
    """A row carries its record's other columns, without text and label."""
    path = tmp_path / "reviews.tsv"
    path.write_text(AMAZON_HEADER + amazon("1", "Bad", title="A lamp", headline="No"))
    columns = next(read_rows(path)).columns
    assert (columns["product_title"], columns["review_headline"]) == ("A lamp", "No")
    assert columns.keys().isdisjoint({"review_body", "star_rating"})


def test_columns_are_settings(tmp_path: Path) -> None:
    """Text, label and headline columns can be named; the headline stands before the body."""
    path = tmp_path / "mail.csv"
    path.write_text("subject,body,mood\nBill,Too high,angry\n,Thanks,calm\n")
    rows = read_rows(
        path, text_column="body", label_column="mood", headline_column="subject", labels=("angry", "calm")
    )
    assert [(row.label, row.text) for row in rows] == [("angry", "Bill\nToo high"), ("calm", "Thanks")]


def test_labels_are_not_needed(tmp_path: Path) -> None:
    """Without a label column a file of bare comments has no broken rows."""
    path = tmp_path / "comments.csv"
    path.write_text("review_body\nHello\n")
    assert list(read_rows(path, label_column=None)) == [Row("Hello", None, None, {})]


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("Tom &amp; Jerry &#34;live&#34;", 'Tom & Jerry "live"'),
        ("one<br />two<BR>three<br/>four", "one\ntwo\nthree\nfour"),
        ("one &lt;br /&gt; two", "one\ntwo"),
        ("  padded <br />", "padded"),
        ("2 < 3 and <b>bold</b>", "2 < 3 and <b>bold</b>"),
    ],
)
def test_cleaning(raw: str, cleaned: str) -> None:
    """Entities become characters, line break tags newlines; the ends are stripped, and that is all."""
    assert clean(raw) == cleaned


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (amazon("1", "Bad").replace("\tKitchen", ""), data.WRONG_COLUMNS),
        (amazon("1", "Bad\tworse"), data.WRONG_COLUMNS),
        (amazon("1", " <br /> "), data.NO_TEXT),
        (amazon("", "Bad"), data.NO_LABEL),
        (amazon("6", "Bad"), data.UNKNOWN_LABEL),
        (amazon("4.5", "Bad"), data.UNKNOWN_LABEL),
        (amazon("nan", "Bad"), data.UNKNOWN_LABEL),
    ],
)
def test_broken_tsv_row(tmp_path: Path, line: str, problem: str) -> None:
    """A broken row is yielded with its problem, and the rows after it are read; a blank line is no row."""
    path = tmp_path / "reviews.tsv"
    path.write_text(AMAZON_HEADER + line + "\n" + amazon("5", "Good"))
    assert problems(path) == [problem, None]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"star_rating": 1, "review_body": "x"', data.INVALID_JSON),
        (b'{"star_rating": 1, "review_body": "\xff"}', data.INVALID_JSON),
        (b'{"star_rating": 1, "review_body": "\\ud800"}', data.INVALID_JSON),
        (b'["a", "list"]', data.NOT_AN_OBJECT),
        (b'{"star_rating": 1}', data.NO_TEXT),
        (b'{"star_rating": 1, "review_body": 7}', data.NO_TEXT),
        (b'{"review_body": "x"}', data.NO_LABEL),
        (b'{"star_rating": [1], "review_body": "x"}', data.UNKNOWN_LABEL),
    ],
)
def test_broken_json_row(tmp_path: Path, line: bytes, problem: str) -> None:
    """A line that is not a JSON object with text and label is yielded with its problem."""
    path = tmp_path / "reviews.jsonl"
    path.write_bytes(line + b'\n\n{"star_rating": 5, "review_body": "Good"}\n')
    assert problems(path) == [problem, None]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"1\n", data.WRONG_COLUMNS),
        (b"1,caf\xe9\n", data.NOT_UTF8),
        (b"1," + b"x" * 200_000 + b"\n", data.INVALID_CSV),
    ],
)
def test_broken_csv_row(tmp_path: Path, line: bytes, problem: str) -> None:
    """A CSV row of wrong width, encoding or size is yielded with its problem."""
    path = tmp_path / "reviews.csv"
    path.write_bytes(b"star_rating,review_body\n" + line + b"\n5,Good\n")
    assert problems(path) == [problem, None]


def test_tsv_row_that_is_not_utf8(tmp_path: Path) -> None:
    """A TSV row in another encoding is yielded with its problem."""
    path = tmp_path / "reviews.tsv"
    path.write_bytes((AMAZON_HEADER + amazon("1", "café")).encode("latin-1") + amazon("5", "Good").encode())
    assert problems(path) == [data.NOT_UTF8, None]


def test_a_broken_row_keeps_its_text(tmp_path: Path) -> None:
    """A row broken only in its label still has its text, for who wants just that."""
    path = tmp_path / "reviews.csv"
    path.write_text("star_rating,review_body\nsix,Good\n")
    assert list(read_rows(path)) == [Row("Good", None, data.UNKNOWN_LABEL, {})]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("reviews.xlsx", b"PK", "unknown format"),
        ("reviews", b"", "unknown format"),
        ("reviews.csv", b"stars,text\n1,Bad\n", "no column review_body, star_rating; it has stars, text"),
        ("reviews.tsv", b"", "no column review_body, star_rating"),
        ("reviews.tsv.gz", b"not gzip", "cannot be read"),
        (
            "reviews.tsv.gz",
            gzip.compress(AMAZON_HEADER.encode() + os.urandom(10_000))[:5000],
            "cannot be read",
        ),
        ("reviews.csv", b"\xff\r\rrandom", "cannot be read"),
        ("reviews.parquet", b"not parquet", "cannot be read"),
    ],
)
def test_unusable_file(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    """A file of no known format, damaged or without the columns is a DataError that names it and says why."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=said) as caught:
        list(read_rows(path))
    assert str(path) in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    """A file that is not there is a DataError that names it."""
    with pytest.raises(DataError, match=r"missing\.tsv cannot be read .*No such file"):
        list(read_rows(tmp_path / "missing.tsv"))


def test_reading_needs_neither_torch_nor_datasets() -> None:
    """Importing the reader loads no library of training."""
    heavy = {"torch", "datasets", "transformers", "pyarrow", "numpy"}
    program = f"import sys, finetune.data; print({heavy!r} & sys.modules.keys())"
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert printed.strip() == "set()"


def test_the_published_files_are_whole() -> None:
    """Of the published Amazon files every row is read, and only three lack a text."""
    folder = Path(os.environ.get("SHARED_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
    files = sorted(folder.glob("amazon_*.tsv.gz"))
    if not files:
        pytest.skip(f"no published Amazon files in {folder}")
    counts = {path.name.split(".")[0]: problems(path) for path in files}
    assert {name: len(rows) for name, rows in counts.items()} == {
        "amazon_grocery": 5000,
        "amazon_reviews_us_Gift_Card_v1_00_head": 1452,
        "amazon_wireless": 4776,
    }
    assert [problem for rows in counts.values() for problem in rows if problem] == [data.NO_TEXT] * 3
