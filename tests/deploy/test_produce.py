"""A file of reviews becomes one JSON object a comment."""

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from deploy.local.produce import BATCH, Comment, paced, read_comments
from finetune.errors import DataError

HEADER = "review_id\tproduct_title\tstar_rating\treview_body\n"


def written(path: Path, *rows: str) -> Path:
    """A gzipped TSV of these rows."""
    path.write_bytes(gzip.compress((HEADER + "".join(f"{row}\n" for row in rows)).encode()))
    return path


def test_columns_stand_beside_the_text(tmp_path: Path) -> None:
    """The value holds the text and every other column, and the key is the review's id."""
    path = written(tmp_path / "reviews.tsv.gz", "R1\tKettle\t2\tLeaks &amp; hisses")
    [comment] = read_comments(path, Counter())

    assert comment.key == b"R1"
    assert json.loads(comment.value) == {
        "review_id": "R1",
        "product_title": "Kettle",
        "star_rating": "2",
        "text": "Leaks & hisses",
    }


def test_row_number_is_the_key_without_an_id(tmp_path: Path) -> None:
    """A row without an id has its number as key, counted over all rows of the file."""
    path = tmp_path / "reviews.csv"
    path.write_text("body,stars\nfine,5\nbad,1\n")

    assert [comment.key for comment in read_comments(path, Counter(), text_column="body")] == [b"1", b"2"]


def test_rows_without_text_are_counted(tmp_path: Path) -> None:
    """Rows without text or with too few columns are left out and counted by their reason."""
    path = written(tmp_path / "reviews.tsv.gz", "R1\tKettle\t2\t", "R2\tKettle", "R3\tKettle\t5\tGood")
    skipped: Counter[str] = Counter()

    assert [comment.key for comment in read_comments(path, skipped)] == [b"R3"]
    assert skipped == {"no text": 1, "wrong number of columns": 1}


def test_labels_are_not_needed(tmp_path: Path) -> None:
    """A file without ratings is produced like any other."""
    path = tmp_path / "comments.jsonl"
    path.write_text('{"review_body": "late", "customer": 7}\n')
    [comment] = read_comments(path, Counter())

    assert json.loads(comment.value) == {"customer": 7, "text": "late"}


def test_file_without_the_text_column_is_refused(tmp_path: Path) -> None:
    """A file that lacks the text column is an error that names the column."""
    path = tmp_path / "comments.csv"
    path.write_text("body\nlate\n")
    with pytest.raises(DataError, match="review_body"):
        next(read_comments(path, Counter()))


def test_without_a_rate_everything_is_due_at_once() -> None:
    """Without a rate, comments come in full batches and in order."""
    comments = [Comment(str(number).encode(), b"{}") for number in range(BATCH + 3)]
    batches = list(paced(comments, None))

    assert [len(batch) for batch in batches] == [BATCH, 3]
    assert [comment for batch in batches for comment in batch] == comments


def test_rate_holds_comments_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """At two a second, the first is due at once and each other half a second after the one before."""
    seconds = iter([0.0, 0.0, 0.4, 0.5, 5.0, 5.0])
    monkeypatch.setattr("deploy.local.produce.time.monotonic", lambda: next(seconds))
    comments = [Comment(str(number).encode(), b"{}") for number in range(4)]

    assert [len(batch) for batch in paced(comments, 2.0)] == [1, 0, 1, 2]
