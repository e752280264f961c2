"""Which texts a variant is compared on."""

from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from export import texts
from export.errors import CheckpointError, ExportError


def numbered(count: int) -> list[str]:
    """Comments of four words, all different."""
    return [f"comment number {index} today" for index in range(count)]


def test_golden_comments_are_different_and_many() -> None:
    """The package carries at least 40 golden comments, none empty, none twice."""
    golden = texts.golden()
    assert len(golden) >= 40
    assert len(set(golden)) == len(golden)
    assert all(comment.strip() for comment in golden)


def test_large_test_split_is_sampled_evenly(tmp_path: Path) -> None:
    """Of 8,000 test comments every fourth is taken."""
    parquet.write_table(pyarrow.table({"text": numbered(8000)}), tmp_path / "test.parquet")
    chosen = texts.from_test_split(tmp_path)
    assert chosen.texts == tuple(numbered(8000)[::4])
    assert chosen.whole == 2000


def test_middling_test_split_is_taken_whole(tmp_path: Path) -> None:
    """Of 700 test comments all are taken, and nothing is added."""
    parquet.write_table(pyarrow.table({"text": numbered(700)}), tmp_path / "test.parquet")
    assert texts.from_test_split(tmp_path).texts == tuple(numbered(700))


def test_small_test_split_is_topped_up() -> None:
    """70 comments become 500 different texts: themselves, the golden comments, then pieces."""
    source = [" ".join(f"word{index}-{place}" for place in range(12)) for index in range(70)]
    chosen = texts.top_up(source, Path("test.parquet"))
    assert len(set(chosen.texts)) == len(chosen.texts) == 500
    assert chosen.texts[:70] == tuple(source)
    assert chosen.texts[70 : chosen.whole] == texts.golden()
    assert all(any(piece in comment for comment in source) for piece in chosen.texts[chosen.whole :])


def test_pieces_are_the_same_each_time() -> None:
    """The same comments give the same texts."""
    assert texts.top_up(numbered(200), Path("f")) == texts.top_up(numbered(200), Path("f"))


def test_repeated_and_empty_comments_count_once_and_not_at_all() -> None:
    """Repetitions and blanks are no texts to compare on."""
    chosen = texts.top_up(["", "  ", *numbered(600), *numbered(600)], Path("f"))
    assert chosen.texts == tuple(numbered(600))


def test_too_little_text_is_refused() -> None:
    """Three comments of four words cannot make 500 texts, and the message says how many they make."""
    with pytest.raises(CheckpointError, match=r"3 different comments, which make only \d+ texts .* --data"):
        texts.top_up(numbered(3), Path("test.parquet"))


def test_missing_test_split_is_refused(tmp_path: Path) -> None:
    """Without test.parquet the message names the file and --data."""
    with pytest.raises(CheckpointError, match=r"test\.parquet.*--data"):
        texts.from_test_split(tmp_path)


def test_file_gives_its_first_texts(tmp_path: Path) -> None:
    """--data takes the first comments of a file, without needing labels."""
    path = tmp_path / "own.csv"
    path.write_text("\n".join(["body", *numbered(2700)]))
    assert texts.from_file(path, "body").texts == tuple(numbered(2000))


def test_unreadable_file_is_refused(tmp_path: Path) -> None:
    """A file that is not there is one sentence, not a traceback."""
    with pytest.raises(ExportError, match=r"own\.csv cannot be read"):
        texts.from_file(tmp_path / "own.csv", "body")
