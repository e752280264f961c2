"""The model bundle: one directory that is all the consumer needs. Read, verify, write.

`bundle.json` names every other file with its SHA-256. Its `version` is the first 12 hex digits of a hash over
those names and hashes, the labels, max_length and tail: everything that decides an answer.

A bundle is data from elsewhere: nothing in it is run as code, nothing outside its directory is read for it,
and whatever it holds, reading it ends with a bundle or with a BundleError. The hashes tell that it is whole,
not who made it.
"""

import hashlib
import os
import reprlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from consumer.errors import BundleError, one_line
from consumer.window import Window

FORMAT: Final = 1
MANIFEST = "bundle.json"
TOKENIZER = "tokenizer.json"
GOLDEN = "golden.json"

Device = Literal["cpu", "cuda"]
DeviceChoice = Literal["auto", "cuda", "cpu"]
VariantName = Literal["cpu", "cpu-int8", "cuda"]
PrecisionChoice = Literal["default", "int8"]
# Some tens of kilobytes are usual for bundle.json and golden.json, a few megabytes for a large vocabulary.
# One protobuf message, and so one ONNX file, holds 2 GiB.
LARGEST_JSON: Final = 2**20
LARGEST_TOKENIZER: Final = 2**26
LARGEST_FILE: Final = 2**31
# More comments than anybody has, and a double still tells one from the next.
LARGEST_COUNT: Final = 2**53
_LARGEST: Final = {TOKENIZER: LARGEST_TOKENIZER, GOLDEN: LARGEST_JSON}

# A plain name: a bundle is data from elsewhere, and must not reach outside its directory.
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
# ONNX Runtime goes by the ending, and reads another format too.
ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\.onnx$", max_length=100)]
# It goes into every labelled message, and into log lines.
Words = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^\P{Cc}*$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Agreement(_Strict):
    """How a variant compared with PyTorch fp32 when it was exported.

    `label_agreement` is the share of texts with the same most probable label.
    """

    texts: int = Field(gt=0)
    label_agreement: float = Field(ge=0, le=1)
    largest_probability_difference: float = Field(ge=0, le=1)


class Variant(_Strict):
    """One ONNX file, for one kind of device and one number format.

    `tolerance` is the largest difference of a probability from PyTorch fp32 that counts as the same answer;
    `agreement` is None where the machine that exported it could not run it.
    """

    file: ModelName
    precision: Literal["fp32", "fp16", "int8"]
    tolerance: float = Field(gt=0, lt=1)
    agreement: Agreement | None


class GoldenComment(_Strict):
    """A comment and the probabilities, in the order of the labels, that PyTorch fp32 gives it."""

    text: str
    probabilities: tuple[float, ...]


def _different(labels: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(labels)) < len(labels):
        raise ValueError("a label occurs twice")
    return labels


class Manifest(_Strict):
    """The contents of bundle.json."""

    format: Literal[1]
    name: Words
    version: Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
    labels: Annotated[tuple[Words, ...], Field(min_length=2, max_length=1000), AfterValidator(_different)]
    # Attention takes memory by its square: the models there are read 512, few of them more.
    max_length: int = Field(gt=2, le=8192)
    # Bundles of before it cut at the end alone.
    tail: int = Field(0, ge=0)
    variants: dict[VariantName, Variant] = Field(min_length=1)
    files: dict[FileName, Sha256]
    training: dict[str, Any]

    @model_validator(mode="after")
    def _tail_fits(self) -> Self:
        if self.tail > self.max_length - 2:
            raise ValueError("tail must leave room for [CLS] and [SEP] within max_length")
        return self

    @property
    def window(self) -> Window:
        """How much of a text is read."""
        return Window(self.max_length, self.tail)

    @property
    def trained_on(self) -> tuple[int, ...] | None:
        """How many comments of each label it was trained on, in their order; None where it does not say."""
        counts = self.training.get("labels")
        return None if counts is None else tuple(counts[label] for label in self.labels)


@dataclass(frozen=True)
class Bundle:
    """A verified bundle."""

    directory: Path
    manifest: Manifest
    golden: tuple[GoldenComment, ...]

    def path(self, name: str) -> Path:
        """Where a file of the bundle lies."""
        return self.directory / name


def read(directory: Path) -> Bundle:
    """Read a bundle and verify every hash in it.

    Raises:
        BundleError: the bundle is missing, incomplete, altered or of another format.
    """
    manifest = read_manifest(directory)
    needed = {TOKENIZER, GOLDEN} | {variant.file for variant in manifest.variants.values()}
    if unlisted := sorted(needed - set(manifest.files)):
        raise BundleError(
            f"{directory / MANIFEST} lists no hash for {', '.join(unlisted)}; export the bundle again"
        )
    for name, expected in manifest.files.items():
        _verify(directory, name, expected)
    if manifest.version != version(manifest.files, manifest.labels, manifest.window):
        raise BundleError(
            f"{directory / MANIFEST} was changed after export: its version {manifest.version} does not match"
            " its labels, max_length, tail and files; copy or export the bundle again"
        )
    counts = manifest.training.get("labels")
    if counts is not None and not _are_counts(counts, manifest.labels):
        raise BundleError(
            f"{directory / MANIFEST}: training.labels must say how many comments of each label there were;"
            " export the bundle again"
        )
    return Bundle(directory, manifest, _read_golden(directory, labels=len(manifest.labels)))


def version(files: Mapping[str, str], labels: Sequence[str], window: Window) -> str:
    """The bundle version that these contents have, 12 hex digits."""
    identity = {"files": dict(files), "labels": list(labels), "max_length": window.max_length}
    # Bundles of before it keep their version.
    identity |= {"tail": window.tail} if window.tail else {}
    return hashlib.sha256(orjson.dumps(identity, option=orjson.OPT_SORT_KEYS)).hexdigest()[:12]


@contextmanager
def staged(destination: Path) -> Iterator[Path]:
    """Give a directory to build a bundle in, and move it to `destination` once it is whole.

    A bundle already there is replaced at that moment, not before. An exception leaves nothing behind.

    Raises:
        BundleError: what was built does not verify.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{destination.name}.", dir=destination.parent))
    try:
        yield staging
        read(staging)
        staging.chmod(0o755)
        for path in [*staging.iterdir(), staging]:
            _sync(path)
        retired = staging.with_name(f"{staging.name}.retired")
        if destination.exists():
            destination.rename(retired)
        staging.rename(destination)
        shutil.rmtree(retired, ignore_errors=True)
        _sync(destination.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def seal(
    directory: Path,
    *,
    name: str,
    labels: Sequence[str],
    window: Window,
    variants: Mapping[VariantName, Variant],
    training: Mapping[str, Any],
) -> None:
    """Write bundle.json over the files that lie in `directory`.

    Raises:
        BundleError: a value is not one that a bundle can have.
    """
    files = {path.name: _sha256(path) for path in sorted(directory.iterdir()) if path.name != MANIFEST}
    try:
        manifest = Manifest(
            format=FORMAT,
            name=name,
            version=version(files, labels, window),
            labels=tuple(labels),
            max_length=window.max_length,
            tail=window.tail,
            variants=dict(variants),
            files=files,
            training=dict(training),
        )
    except ValidationError as error:
        raise BundleError(f"a bundle cannot hold this: {_first(error)}") from None
    (directory / MANIFEST).write_bytes(orjson.dumps(manifest.model_dump(), option=orjson.OPT_INDENT_2))


def write_golden(directory: Path, golden: Sequence[GoldenComment]) -> None:
    """Write golden.json."""
    dumped = [comment.model_dump() for comment in golden]
    (directory / GOLDEN).write_bytes(orjson.dumps(dumped, option=orjson.OPT_INDENT_2))


def read_manifest(directory: Path) -> Manifest:
    """Read bundle.json alone, without verifying the files it names.

    Raises:
        BundleError: it is missing or not a manifest of this format.
    """
    path = directory / MANIFEST
    try:
        content = _inside(directory, MANIFEST, most=LARGEST_JSON).read_bytes()
    except OSError as error:
        raise BundleError(
            f"cannot read {path}: {error.strerror};"
            " --bundle must name a directory that `python -m export` wrote"
        ) from None
    try:
        found = orjson.loads(content).get("format")
        if found != FORMAT:
            raise BundleError(
                f"{path} has format {one_line(reprlib.repr(found))}, this consumer reads format {FORMAT};"
                " export it again"
            )
        return Manifest.model_validate_json(content)
    except (orjson.JSONDecodeError, AttributeError):
        raise BundleError(f"{path} is not a JSON object; export the bundle again") from None
    except ValidationError as error:
        raise BundleError(f"{path}: {_first(error)}; export the bundle again") from None


def _read_golden(directory: Path, *, labels: int) -> tuple[GoldenComment, ...]:
    path = directory / GOLDEN
    with _explained(path):
        content = _inside(directory, GOLDEN, most=LARGEST_JSON).read_bytes()
    try:
        golden = TypeAdapter(tuple[GoldenComment, ...]).validate_json(content)
    except ValidationError as error:
        raise BundleError(f"{path}: {_first(error)}; export the bundle again") from None
    if not golden or any(len(comment.probabilities) != labels for comment in golden):
        raise BundleError(
            f"{path} needs golden comments with {labels} probabilities each; export the bundle again"
        )
    return golden


def _are_counts(counts: Any, labels: Sequence[str]) -> bool:
    return (
        isinstance(counts, dict)
        and counts.keys() == set(labels)
        and all(type(count) is int and 0 <= count < LARGEST_COUNT for count in counts.values())
        and any(counts.values())
    )


def _first(error: ValidationError) -> str:
    detail = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in detail["loc"])
    return one_line(f"{where}: {detail['msg']}" if where else detail["msg"])


def _verify(directory: Path, name: str, expected: str) -> None:
    path = directory / name
    with _explained(path):
        actual = _sha256(_inside(directory, name, most=_LARGEST.get(name, LARGEST_FILE)))
    if actual != expected:
        raise BundleError(
            f"{path} was changed after export (SHA-256 {actual[:12]}…, expected {expected[:12]}…);"
            " copy or export the bundle again"
        )


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Say what to do where a file that bundle.json names cannot be read."""
    try:
        yield
    except FileNotFoundError:
        raise BundleError(f"the bundle lacks {path}; copy or export it again") from None
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}; copy or export the bundle again") from None


def _inside(directory: Path, name: str, *, most: int) -> Path:
    """Where a file of a bundle really lies, once that is known to be a file inside the bundle, and no larger.

    Links inside the bundle are followed, since Kubernetes lays its volumes so.

    Raises:
        BundleError: it leads outside, is larger, or is something whose reading might never end.
        OSError: it is missing or cannot be reached.
    """
    path = directory / name
    real = Path(os.path.realpath(path, strict=True))
    if not real.is_relative_to(os.path.realpath(directory)):
        raise BundleError(f"{path} leads out of the bundle, to {real}; put the file itself there")
    if not real.is_file():
        raise BundleError(f"{path} is no regular file; copy or export the bundle again")
    if (size := real.stat().st_size) > most:
        raise BundleError(
            f"{path} has {size} bytes, and no bundle has more than {most} there; export it again"
        )
    return real


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
