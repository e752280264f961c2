"""The texts that a variant is compared on, and the golden comments."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import islice
from pathlib import Path

from export.errors import CheckpointError, ExportError

# With 500 texts and no disagreement, at most 0.6 % of such texts disagree (95 % confidence, rule of three).
LEAST = 500
# With 2,000 texts the share of labels that int8 keeps is known to 0.4 % (95 % confidence, at 99 %).
MOST = 2000


@dataclass(frozen=True)
class Texts:
    """Different texts: the first `whole` are whole comments, the others pieces of comments."""

    texts: tuple[str, ...]
    whole: int


def golden() -> tuple[str, ...]:
    """The comments written for this project that every bundle carries."""
    return tuple(json.loads(resources.files("export").joinpath("golden.json").read_text(encoding="utf-8")))


def from_test_split(checkpoint: Path) -> Texts:
    """Take texts evenly from the checkpoint's test split, and make up what is missing.

    Raises:
        CheckpointError: the test split is missing or holds too little.
    """
    # Imported here: with --data nobody needs pyarrow.
    from pyarrow import ArrowException
    from pyarrow.parquet import read_table

    path = checkpoint / "test.parquet"
    try:
        comments = read_table(path, columns=["text"]).column("text").to_pylist()
    except (OSError, KeyError, ArrowException) as error:
        raise CheckpointError(
            f"cannot read {path} ({error}): fine-tune again, or compare on a file of yours with --data"
        ) from None
    spaced = (comments[index * len(comments) // MOST] for index in range(MOST)) if comments else ()
    return top_up(spaced, path)


def from_file(path: Path, text_column: str) -> Texts:
    """Take the first texts of a TSV, CSV, JSON Lines or Parquet file, and make up what is missing.

    Raises:
        ExportError: the file cannot be read.
        CheckpointError: the file holds too little.
    """
    # Imported here: a checkpoint alone is exported without finetune.
    from finetune.data import read_rows
    from finetune.errors import DataError

    rows = read_rows(path, text_column=text_column, label_column=None)
    try:
        return top_up((row.text for row in rows), path)
    except DataError as error:
        raise ExportError(f"--data: {error}") from None


def top_up(comments: Iterable[str], source: Path) -> Texts:
    """Take up to MOST different comments, then golden comments and pieces of the comments up to LEAST.

    A small test split is so compared on as many inputs as a large one: a piece is another token sequence of
    another length, and parity is a question of inputs, not of what they mean.

    Raises:
        CheckpointError: not even with pieces are they enough.
    """
    different = dict.fromkeys(islice(_different(comments), MOST))
    written = list(different)
    different.update(dict.fromkeys(islice(golden(), max(0, LEAST - len(different)))))
    whole = len(different)
    for piece in _pieces(written):
        if len(different) >= LEAST:
            break
        different[piece] = None
    if len(different) < LEAST:
        raise CheckpointError(
            f"{source} holds {len(written)} different comments, which make only {len(different)} texts to"
            f" compare on, and {LEAST} are needed: name a larger file with --data"
        )
    return Texts(tuple(different), whole)


def _different(comments: Iterable[str]) -> Iterator[str]:
    seen = set()
    for comment in comments:
        if comment.strip() and comment not in seen:
            seen.add(comment)
            yield comment


def _pieces(comments: Sequence[str]) -> Iterator[str]:
    """Each comment cut into two, then each into three, and so on down to single words."""
    words = [comment.split() for comment in comments]
    for parts in range(2, max(map(len, words), default=0) + 1):
        for comment in words:
            if len(comment) >= parts:
                for part in range(parts):
                    yield " ".join(comment[part * len(comment) // parts : (part + 1) * len(comment) // parts])
