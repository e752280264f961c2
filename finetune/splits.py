"""Files to three tokenised splits on disk: read, count, deduplicate, split, tokenise.

Texts never gather in memory: they go row by row into an Arrow file that is memory-mapped from then on. What
is held in memory is a few numbers a row (its hash, its place), some 50 bytes however long the comment.
"""

import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, Features, Value
from datasets.exceptions import DatasetGenerationError
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from consumer.window import Window
from finetune.data import Row, read_rows
from finetune.errors import DataError
from finetune.settings import Settings
from finetune.tokenising import token_ids

logger = logging.getLogger(__name__)

# Of each label, this share goes to validation and as much to test, but no more than the limit in all: with
# 20,000 comments the standard error of an accuracy is below 0.4 %, and more would only cost time.
HELD_OUT_SHARE = 0.1
HELD_OUT_LIMIT = 20_000

_FEATURES = Features(
    {
        "file": Value("int32"),
        "text": Value("string"),
        "label": Value("string"),
        "problem": Value("string"),
        "slice": Value("string"),
        "hash": Value("int64"),
    }
)
_BATCH = 1000  # rows in memory at a time

Indices = NDArray[np.int64]


def prepare(
    settings: Settings,
    digests: list[str],
    tokenizer: PreTrainedTokenizerBase,
    window: Window,
    directory: Path,
) -> dict[str, Any]:
    """Write `{train,validation,test}.arrow` (input_ids, labels, length, text, slice).

    Returns what `training.json` tells of the data: files with rows, broken rows and SHA-256 (the digests
    given), duplicates, the sizes of the splits, how many of the train split are extra, and how many of the
    others have which label. Raises DataError when a file cannot be read or a label has too few comments.
    """
    rows, record = _read(settings, digests, directory / "rows")
    hashes = rows.data.column("hash").to_numpy()
    labels = pc.fill_null(pc.index_in(rows.data.column("label"), pa.array(settings.labels)), -1).to_numpy()
    usable = np.flatnonzero(pc.is_null(rows.data.column("problem")).to_numpy())
    is_extra = rows.data.column("file").to_numpy()[usable] >= len(settings.data)
    kept, extra = (
        of_kind[distinct(hashes[of_kind], labels[of_kind])]
        for of_kind in (usable[~is_extra], usable[is_extra])
    )
    # The splits are what they would be without the extra comments, none of which is in two places.
    extra = extra[~np.isin(hashes[extra], hashes[kept])]
    record["duplicates"] = len(usable) - len(kept) - len(extra)
    if settings.limit is not None:
        kept, extra = (part[np.argsort(hashes[part])[: settings.limit]] for part in (kept, extra))
    parts = {name: kept[part] for name, part in split(hashes[kept], labels[kept], settings.labels).items()}
    parts["train"] = np.concatenate([parts["train"], extra])
    record["splits"] = {name: len(part) for name, part in parts.items()}
    record["extra"] = len(extra)
    record["labels"] = dict(
        zip(settings.labels, np.bincount(labels[kept], minlength=len(settings.labels)).tolist(), strict=True)
    )
    logger.info(
        "%s rows: %s broken, %s duplicates; split into %s",
        *(f"{record[count]:,}" for count in ("rows", "broken", "duplicates")),
        ", ".join(f"{size:,} {name}" for name, size in record["splits"].items()),
    )
    for name, part in parts.items():
        # In file order, so that the texts are read from disk in one sweep.
        comments = rows.select(np.sort(part), indices_cache_file_name=str(directory / f"{name}.indices"))
        _tokenise(comments, settings.labels, tokenizer, window, directory / f"{name}.arrow")
    return record


def load(directory: Path) -> dict[str, Dataset]:
    """Map the splits that `prepare` wrote into memory."""
    return {
        name: Dataset.from_file(str(directory / f"{name}.arrow")) for name in ("train", "validation", "test")
    }


def distinct(hashes: NDArray[np.int64], labels: NDArray[np.int32]) -> Indices:
    """Return the place of one row of each text, in file order.

    Of a text with several labels the most frequent stays (of equally frequent ones the first in the order of
    the labels): the commonest short comments, such as "Great", would else take their label from one stray
    row, and which one would depend on the order of the files.
    """
    order = np.lexsort((labels, hashes))
    hashes, labels = hashes[order], labels[order]
    starts = np.flatnonzero(_run_starts(hashes, labels))
    counts = np.diff(np.append(starts, len(order)))
    candidates = starts[np.lexsort((-counts, hashes[starts]))]
    return np.sort(order[candidates[_run_starts(hashes[candidates])]])


def _run_starts(*columns: NDArray[Any]) -> NDArray[np.bool_]:
    """Of sorted rows, True where a row differs from the one before."""
    starts = np.ones(len(columns[0]), dtype=np.bool_)
    starts[1:] = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    return starts


def split(hashes: NDArray[np.int64], labels: NDArray[np.int32], names: tuple[str, ...]) -> dict[str, Indices]:
    """Return the places of the train, validation and test rows, each label in its share.

    Within a label the rows with the smallest hashes are the test split and the next ones validation, so the
    split depends on the texts and the seed in their hashes alone, not on the order of rows.

    Raises DataError when a label has fewer than three comments.
    """
    share = min(HELD_OUT_SHARE, HELD_OUT_LIMIT / max(1, len(hashes)))
    parts: dict[str, list[Indices]] = {"train": [], "validation": [], "test": []}
    for label, name in enumerate(names):
        rows = np.flatnonzero(labels == label)
        if len(rows) < 3:
            raise DataError(
                f"label {name} has {len(rows)} different comments, and three are the least, "
                "one for each split: add some, raise --limit, or leave it out of --labels and --routes"
            )
        rows = rows[np.argsort(hashes[rows])]
        size = max(1, round(share * len(rows)))
        for part, taken in zip(parts, (rows[2 * size :], rows[size : 2 * size], rows[:size]), strict=True):
            parts[part].append(taken)
    return {part: np.concatenate(taken) for part, taken in parts.items()}


def sha256(path: Path) -> str:
    """Return a file's SHA-256 in hex. Raises DataError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}): check its name and permissions"
        ) from error


def _read(settings: Settings, digests: list[str], cache: Path) -> tuple[Dataset, dict[str, Any]]:
    """Every row of the files as Arrow, and the counts of the rows and of what is broken in them."""
    nothing = DataError(
        f"no usable row in {', '.join(map(str, settings.files))}: "
        "check that these are the right files, and --text-column, --label-column and --labels"
    )
    try:
        rows = Dataset.from_generator(
            _examples,
            features=_FEATURES,
            cache_dir=str(cache),
            gen_kwargs={"settings": settings},
            fingerprint="rows",
            writer_batch_size=_BATCH,
        )
    except DatasetGenerationError as error:
        raise error.__cause__ or error from None
    except ValueError:
        # What goes wrong inside the generator is the error above; this is a dataset of no rows.
        raise nothing from None
    tallies = rows.data.table.group_by(["file", "problem"]).aggregate([([], "count_all")]).to_pylist()
    files = [
        {
            "name": path.name,
            "extra": number >= len(settings.data),
            "sha256": digest,
            **_counts(number, path, tallies),
        }
        for number, (path, digest) in enumerate(zip(settings.files, digests, strict=True))
    ]
    broken = sum(sum(file["broken"].values()) for file in files)
    if broken == len(rows):
        raise nothing
    return rows, {"files": files, "rows": len(rows), "broken": broken}


def _counts(number: int, path: Path, tallies: list[dict[str, Any]]) -> dict[str, Any]:
    rows = {tally["problem"]: tally["count_all"] for tally in tallies if tally["file"] == number}
    broken = {problem: count for problem, count in rows.items() if problem is not None}
    if broken:
        reasons = ", ".join(f"{count:,} with {problem}" for problem, count in broken.items())
        logger.warning("%s: broken rows left out: %s", path, reasons)
    return {"rows": sum(rows.values()), "broken": broken}


def _examples(settings: Settings) -> Iterator[dict[str, Any]]:
    key = str(settings.seed).encode()
    for number, path in enumerate(settings.files):
        rows = read_rows(
            path,
            text_column=settings.text_column,
            label_column=settings.label_column,
            headline_column=settings.headline_column,
            labels=settings.labels,
        )
        for row in _counted(rows, path):
            text = "" if row.problem else row.text
            digest = hashlib.blake2b(text.encode(), digest_size=8, key=key).digest()
            yield {
                "file": number,
                "text": text,
                "label": row.label,
                "problem": row.problem,
                "slice": _slice(row, settings.slice_column),
                "hash": int.from_bytes(digest, signed=True),
            }


def _slice(row: Row, column: str) -> str | None:
    value = row.columns.get(column)
    return None if value is None else str(value).strip() or None


def _counted(rows: Iterator[Row], path: Path) -> Iterator[Row]:
    for count, row in enumerate(rows, start=1):
        if count % 100_000 == 0:
            logger.info("%s: %s rows read", path, f"{count:,}")
        yield row


def _tokenise(
    comments: Dataset,
    labels: tuple[str, ...],
    tokenizer: PreTrainedTokenizerBase,
    window: Window,
    path: Path,
) -> None:
    def tokenise(batch: dict[str, list[str]]) -> dict[str, Any]:
        ids = token_ids(tokenizer, batch["text"], window)
        return {
            "input_ids": ids,
            "labels": [labels.index(label) for label in batch["label"]],
            "length": [len(tokens) for tokens in ids],
        }

    logger.info("tokenising %s comments for %s", f"{len(comments):,}", path.stem)
    comments.map(
        tokenise,
        batched=True,
        batch_size=_BATCH,
        writer_batch_size=_BATCH,
        # Trainer would hand the model the column `label` as well.
        remove_columns=["file", "problem", "hash", "label"],
        cache_file_name=str(path),
        new_fingerprint=path.stem,
        desc=f"tokenising {path.stem}",
    )
