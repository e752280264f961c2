"""Deduplicating, splitting and tokenising."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from consumer.window import Window
from finetune import base_model, splits
from finetune.errors import DataError
from finetune.settings import Settings

Comments = list[tuple[str, str]]


@pytest.fixture
def prepare(
    tmp_path: Path,
    tiny_bert: Path,
    write_reviews: Callable[[Path, Comments], Path],
    settings: Callable[..., Settings],
) -> Callable[..., tuple[dict[str, Any], Path]]:
    """Prepares comments and returns the record and the folder with the splits."""

    def run(rows: Comments, *flags: str, name: str = "a") -> tuple[dict[str, Any], Path]:
        file = write_reviews(tmp_path / f"{name}.tsv", rows)
        folder = tmp_path / name
        folder.mkdir()
        chosen = settings(file, tmp_path / "unused", *flags)
        tokenizer = base_model.load_tokenizer(tiny_bert)
        digests = [splits.sha256(path) for path in chosen.files]
        return splits.prepare(chosen, digests, tokenizer, Window(16, 4), folder), folder

    return run


def tokens(folder: Path) -> dict[str, set[tuple[int, ...]]]:
    """The different token sequences of each split."""
    return {name: {tuple(ids) for ids in split["input_ids"]} for name, split in splits.load(folder).items()}


def texts(folder: Path) -> dict[str, list[str]]:
    """The comments of each split."""
    return {name: list(split["text"]) for name, split in splits.load(folder).items()}


def test_split_is_stratified(prepare: Any, comments: Any) -> None:
    """Each label gives a tenth of its comments to test and a tenth to validation."""
    rare = [row for row in comments(500) if row[0] != "3"] + [r for r in comments(200, seed=1) if r[0] == "3"]
    record, folder = prepare(rare)
    assert record["splits"] == {"train": 352, "validation": 44, "test": 44}
    counts = {name: np.bincount(split["labels"]).tolist() for name, split in splits.load(folder).items()}
    assert counts["test"] == counts["validation"] == [10, 10, 4, 10, 10]


def test_split_does_not_depend_on_the_order_of_rows(prepare: Any, comments: Any) -> None:
    """The same comments in another order are split alike."""
    rows = comments(300)
    assert tokens(prepare(rows)[1]) == tokens(prepare(rows[::-1], name="b")[1])


def test_split_depends_on_the_seed(prepare: Any, comments: Any) -> None:
    """Another seed draws another test split."""
    rows = comments(300)
    assert tokens(prepare(rows)[1])["test"] != tokens(prepare(rows, "--seed", "1", name="b")[1])["test"]


def test_duplicates_are_removed_before_the_split(prepare: Any, comments: Any) -> None:
    """However often a text comes, cleaned it is in one split once."""
    rows = comments(200)
    copies = [(star, f" {text}<br />") for star, text in rows]
    record, folder = prepare(rows + copies + rows)
    assert record["duplicates"] == 400
    parts = tokens(folder)
    assert sum(len(split) for split in splits.load(folder).values()) == 200
    assert not parts["train"] & parts["test"]
    assert not parts["train"] & parts["validation"]
    assert not parts["validation"] & parts["test"]


def test_a_text_keeps_its_most_frequent_label() -> None:
    """Of equal texts the commonest label stays, of equally common ones the first, whatever the order."""
    hashes = np.array([7, 9, 7, 5, 7, 9, 5, 9, 9])
    labels = np.array([4, 2, 0, 3, 4, 1, 3, 2, 1], dtype=np.int32)
    for order in (np.arange(9), np.arange(9)[::-1]):
        kept = order[splits.distinct(hashes[order], labels[order])]
        assert dict(zip(hashes[kept].tolist(), labels[kept].tolist(), strict=True)) == {7: 4, 9: 1, 5: 3}


def test_broken_rows_are_counted(prepare: Any, comments: Any) -> None:
    """The record tells rows and broken rows of each file by their problem, and its SHA-256."""
    record, _ = prepare([*comments(100), ("6", "x"), ("", "x"), ("7", "y"), ("1", "")])
    file = record["files"][0]
    assert (file["name"], file["rows"], len(file["sha256"])) == ("a.tsv", 104, 64)
    assert file["broken"] == {"label not one of the labels": 2, "no label": 1, "no text": 1}
    assert (record["rows"], record["broken"]) == (104, 4)


def test_limit_draws_from_the_whole_file(prepare: Any, comments: Any) -> None:
    """A limit takes that many comments from all over the file, not its start."""
    rows = comments(1000)
    record, folder = prepare(rows, "--limit", "100")
    assert sum(record["splits"].values()) == 100
    texts = list(splits.load(folder)["test"]["text"])
    places = [text for _, text in rows]
    assert max(places.index(text) for text in texts) > 500


@pytest.fixture
def extra_file(tmp_path: Path, comments: Any, write_reviews: Callable[[Path, Comments], Path]) -> Path:
    """A file of 40 comments, one of them twice, and of 30 that `comments(300)` has as well."""
    rows = comments(40, seed=1)
    return write_reviews(tmp_path / "extra.tsv", [*rows, rows[0], *comments(300)[:30]])


def test_extra_comments_are_trained_on_alone(prepare: Any, comments: Any, extra_file: Path) -> None:
    """Each different extra comment is added to the train split; nothing else is changed by them."""
    rows = comments(300)
    before, without = prepare(rows)
    record, folder = prepare(rows, "--extra-data", str(extra_file), name="b")
    parts, others = texts(folder), texts(without)

    assert (parts["validation"], parts["test"]) == (others["validation"], others["test"])
    assert sorted(parts["train"]) == sorted([*others["train"], *(text for _, text in comments(40, seed=1))])
    assert (record["extra"], record["duplicates"], record["labels"]) == (40, 31, before["labels"])
    assert record["splits"] == before["splits"] | {"train": 280}
    assert [file["extra"] for file in record["files"]] == [False, True]


def test_limit_is_one_of_the_extra_comments_too(prepare: Any, comments: Any, extra_file: Path) -> None:
    """With a limit no more extra comments than others are used."""
    record, _ = prepare(comments(300), "--limit", "30", "--extra-data", str(extra_file))
    assert (record["extra"], record["splits"]["train"]) == (30, 50)


def test_held_out_splits_have_a_limit() -> None:
    """Of a huge file validation and test take no more than their limit."""
    count = 10 * splits.HELD_OUT_LIMIT * 2
    parts = splits.split(np.arange(count), np.zeros(count, dtype=np.int32), ("only",))
    assert len(parts["test"]) == len(parts["validation"]) == splits.HELD_OUT_LIMIT


def test_comments_are_cut_to_max_length(prepare: Any, comments: Any) -> None:
    """Tokens come with the special ones, are cut at the limit, and are not padded."""
    _, folder = prepare(comments(200))
    train = splits.load(folder)["train"]
    lengths = [len(ids) for ids in train["input_ids"]]
    assert lengths == list(train["length"])
    assert (min(lengths), max(lengths)) == (7, 16)
    assert all(ids[0] == 2 and ids[-1] == 3 for ids in train["input_ids"])


def test_end_of_a_long_comment_stays(prepare: Any, comments: Any, tiny_bert: Path) -> None:
    """Of a comment that is cut the last tokens are the text's last, as many as the window says."""
    _, folder = prepare(comments(200))
    tokenizer = base_model.load_tokenizer(tiny_bert)
    train = splits.load(folder)["train"]
    whole = tokenizer(list(train["text"]))["input_ids"]
    cut = [
        (ids, all_ids) for ids, all_ids in zip(train["input_ids"], whole, strict=True) if len(all_ids) > 16
    ]
    assert cut
    assert all(ids == [*all_ids[:11], *all_ids[-5:]] for ids, all_ids in cut)


def test_texts_stay_beside_their_tokens(prepare: Any, comments: Any) -> None:
    """Every split has the text and the label of each of its comments."""
    rows = comments(200)
    _, folder = prepare(rows)
    for split in splits.load(folder).values():
        assert {
            (str(label + 1), text) for label, text in zip(split["labels"], split["text"], strict=True)
        } <= set(rows)


def test_slices(tmp_path: Path, tiny_bert: Path, comments: Any, settings: Callable[..., Settings]) -> None:
    """The column to be measured apart comes along, where a file has it and it says something."""
    lines = [f"{star}\t{text}\t{' Toys ' if star == '1' else ''}" for star, text in comments(100)]
    (tmp_path / "a.tsv").write_text("\n".join(["star_rating\treview_body\tshop", *lines, ""]))
    asked = settings(tmp_path / "a.tsv", tmp_path / "out", "--slice-column", "shop")
    splits.prepare(asked, ["0"], base_model.load_tokenizer(tiny_bert), Window(16, 4), tmp_path)
    for split in splits.load(tmp_path).values():
        assert list(split["slice"]) == ["Toys" if label == 0 else None for label in split["labels"]]


def test_labels_are_counted(prepare: Any, comments: Any) -> None:
    """The record tells how many comments have which label, duplicates and broken rows left out."""
    rows = comments(100)
    record, _ = prepare([*rows, rows[0], ("9", "x")])
    assert record["labels"] == dict.fromkeys("12345", 20)


def test_a_label_needs_three_comments(prepare: Any, comments: Any) -> None:
    """A label too rare to be in every split is an error that names it."""
    rows = [row for row in comments(100) if row[0] != "3"]
    with pytest.raises(DataError, match="label 3 has 2 different comments"):
        prepare([*rows, ("3", "ba be"), ("3", "be bi"), ("3", "ba be")])


def test_a_file_without_a_usable_row(prepare: Any) -> None:
    """Files in which every row is broken, or none is there, are an error that says what to check."""
    for name, rows in (("broken", [("9", "x")] * 3), ("empty", [])):
        with pytest.raises(DataError, match=rf"no usable row in .*{name}\.tsv: check .* --label-column"):
            prepare(rows, name=name)


def test_an_unreadable_file(tmp_path: Path, tiny_bert: Path, settings: Callable[..., Settings]) -> None:
    """What is wrong with a file reaches the caller as the reader said it."""
    (tmp_path / "a.csv").write_text("stars,text\n1,x\n")
    tokenizer = base_model.load_tokenizer(tiny_bert)
    with pytest.raises(DataError, match="has no column review_body"):
        splits.prepare(settings(tmp_path / "a.csv", tmp_path), ["0"], tokenizer, Window(16, 4), tmp_path)
