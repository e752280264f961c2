"""Files of labelled comments, read row by row: formats, columns, cleaning, and what makes a row broken.

Imports neither torch nor datasets, so that a program which only wants the comments of a file stays small.
"""

import csv
import gzip
import html
import itertools
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import orjson

from finetune.errors import DataError

# Star ratings, most urgent first. The only place that knows about stars.
STAR_LABELS = ("1", "2", "3", "4", "5")
STAR_ROUTES = "high:1,2;medium:3;low:4,5"
# Column names of the published Amazon Customer Reviews files.
TEXT_COLUMN = "review_body"
LABEL_COLUMN = "star_rating"
SLICE_COLUMN = "product_category"

NOT_UTF8 = "not UTF-8"
WRONG_COLUMNS = "wrong number of columns"
INVALID_CSV = "invalid CSV"
INVALID_JSON = "invalid JSON"
NOT_AN_OBJECT = "not a JSON object"
NO_TEXT = "no text"
NO_LABEL = "no label"
UNKNOWN_LABEL = "label not one of the labels"


class Row(NamedTuple):
    """One row of a data file.

    text: the cleaned comment, empty when there is none
    label: one of the labels, None when it has none or none was asked for
    problem: why the row cannot be trained on (one of the constants above), None when it can
    columns: the record's other columns as the file gives them, empty when the row could not be parsed
    """

    text: str
    label: str | None
    problem: str | None
    columns: dict[str, Any]


# A parsed record, or the problem that kept it from being parsed.
_Record = dict[str, Any] | str

# What a missing, truncated or damaged file raises, the last two from its header.
_UNREADABLE = (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error)


def read_rows(
    path: Path,
    *,
    text_column: str = TEXT_COLUMN,
    label_column: str | None = LABEL_COLUMN,
    headline_column: str | None = None,
    labels: Sequence[str] = STAR_LABELS,
) -> Iterator[Row]:
    """Yield every row of a file, broken ones included, holding one at a time in memory.

    The name's ending tells the format: `.tsv` (header, no quoting), `.csv` (header, quoted), `.jsonl` or
    `.ndjson`, each plain or with `.gz`; `.parquet`. Blank lines are not rows. With `label_column=None` the
    file needs no labels. With `headline_column` the headline comes before the body, on its own line.

    Raises DataError when the file is missing, damaged, of an unknown format, or lacks one of the columns.
    """
    needed = [column for column in (text_column, label_column, headline_column) if column is not None]
    try:
        for record in _reader(path)(path, needed):
            if isinstance(record, str):
                yield Row("", None, record, {})
            else:
                yield _row(record, text_column, label_column, headline_column, labels)
    except _UNREADABLE as error:
        raise DataError(f"{path} cannot be read ({error}): check that it is whole and readable") from error


def clean(text: str) -> str:
    """Undo what web pages do to a comment: HTML entities and `<br />`."""
    return _LINE_BREAK.sub("\n", html.unescape(text)).strip()


_LINE_BREAK = re.compile(r"[ \t]*<br\s*/?\s*>[ \t]*", re.IGNORECASE)


def _row(
    record: dict[str, Any],
    text_column: str,
    label_column: str | None,
    headline_column: str | None,
    labels: Sequence[str],
) -> Row:
    parts = [record.pop(text_column, None)]
    if headline_column is not None:
        parts.insert(0, record.get(headline_column))
    text = "\n".join(filter(None, (clean(part) for part in parts if isinstance(part, str))))
    label, problem = None, None
    if label_column is not None:
        label, problem = _label(record.pop(label_column, None), labels)
    return Row(text, label, problem if text else NO_TEXT, record)


def _label(value: Any, labels: Sequence[str]) -> tuple[str | None, str | None]:
    """Return the label and no problem, or no label and the problem."""
    name = "" if value is None else str(value).strip()
    if not name:
        return None, NO_LABEL
    if name not in labels:
        name = _whole_number(name)
    return (name, None) if name in labels else (None, UNKNOWN_LABEL)


def _whole_number(name: str) -> str:
    """'5.0' as '5': spreadsheets and Parquet files turn whole numbers into floats."""
    try:
        number = float(name)
    except ValueError:
        return name
    return str(int(number)) if number.is_integer() else name


def _reader(path: Path) -> Callable[[Path, list[str]], Iterator[_Record]]:
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    reader = _READERS.get(suffixes[-1]) if suffixes else None
    if reader is None:
        raise DataError(f"{path}: unknown format; its name must end in one of {', '.join(_READERS)}")
    return reader


def _open(path: Path) -> IO[bytes]:
    if path.suffix.lower() == ".gz":
        return cast(IO[bytes], gzip.open(path, "rb"))
    return path.open("rb")


def _read_tsv(path: Path, needed: list[str]) -> Iterator[_Record]:
    with _open(path) as lines:
        # Split on newlines alone: comments hold carriage returns and Unicode line separators.
        header = next(lines, b"").decode("utf-8-sig").rstrip("\r\n").split("\t")
        _require(needed, header, path)
        for line in lines:
            try:
                fields = line.decode().rstrip("\r\n").split("\t")
            except UnicodeDecodeError:
                yield NOT_UTF8
                continue
            if fields != [""]:
                yield dict(zip(header, fields, strict=True)) if len(fields) == len(header) else WRONG_COLUMNS


def _read_csv(path: Path, needed: list[str]) -> Iterator[_Record]:
    with _open(path) as binary:
        # A quoted record spans lines, so bytes that are not UTF-8 are smuggled through the parser.
        decoded = (line.decode(errors="surrogateescape") for line in _without_mark(binary))
        records = csv.reader(decoded)
        header = next(records, [])
        _require(needed, header, path)
        while True:
            try:
                fields = next(records)
            except StopIteration:
                return
            except csv.Error:
                yield INVALID_CSV
                continue
            if not fields:
                continue
            if len(fields) != len(header):
                yield WRONG_COLUMNS
            elif not _encodable("".join(fields)):
                yield NOT_UTF8
            else:
                yield dict(zip(header, fields, strict=True))


def _read_json_lines(path: Path, needed: list[str]) -> Iterator[_Record]:
    with _open(path) as lines:
        for line in _without_mark(lines):
            if not line.strip():
                continue
            try:
                value = orjson.loads(line)
            except orjson.JSONDecodeError:
                yield INVALID_JSON
                continue
            yield value if isinstance(value, dict) else NOT_AN_OBJECT


def _read_parquet(path: Path, needed: list[str]) -> Iterator[_Record]:
    # Imported here: only this format needs pyarrow, which who reads the others may not have.
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            _require(needed, file.schema_arrow.names, path)
            for batch in file.iter_batches(batch_size=1000):
                yield from batch.to_pylist()
    except ArrowException as error:
        raise OSError(error) from error


_READERS = {
    ".tsv": _read_tsv,
    ".csv": _read_csv,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".parquet": _read_parquet,
}


def _require(needed: list[str], header: Sequence[str], path: Path) -> None:
    missing = [column for column in needed if column not in header]
    if missing:
        raise DataError(
            f"{path} has no column {', '.join(missing)}; it has {', '.join(header)}: "
            "name the columns with --text-column, --label-column and --headline-column"
        )


def _without_mark(lines: IO[bytes]) -> Iterator[bytes]:
    """The lines without the byte order mark that Windows programs put first."""
    return itertools.chain([next(lines, b"").removeprefix(b"\xef\xbb\xbf")], lines)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
