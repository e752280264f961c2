"""The model bundle: one directory that is all the consumer needs. Read, verify, write.

`bundle.json` names every other file with its SHA-256. Its `version` is the first 12 hex digits of a hash over
those names and hashes, the labels and max_length: everything that decides an answer.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from consumer.errors import BundleError

FORMAT: Final = 1
MANIFEST = "bundle.json"
TOKENIZER = "tokenizer.json"
GOLDEN = "golden.json"

Device = Literal["cpu", "cuda"]
DeviceChoice = Literal["auto", "cuda", "cpu"]
# A plain name: a bundle is data from elsewhere, and must not reach outside its directory.
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
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
    """One ONNX file, for one kind of device.

    `tolerance` is the largest difference of a probability from PyTorch fp32 that counts as the same answer;
    `agreement` is None where the machine that exported it could not run it.
    """

    file: FileName
    precision: Literal["fp32", "fp16", "int8"]
    tolerance: float = Field(gt=0, lt=1)
    agreement: Agreement | None


class GoldenComment(_Strict):
    """A comment and the probabilities, in the order of the labels, that PyTorch fp32 gives it."""

    text: str
    probabilities: tuple[float, ...]


class Manifest(_Strict):
    """The contents of bundle.json."""

    format: Literal[1]
    name: str = Field(min_length=1)
    version: Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
    labels: tuple[str, ...] = Field(min_length=2)
    max_length: int = Field(gt=2)
    variants: dict[Device, Variant] = Field(min_length=1)
    files: dict[FileName, Sha256]
    training: dict[str, Any]


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
        _verify(directory / name, expected)
    if manifest.version != version(manifest.files, manifest.labels, manifest.max_length):
        raise BundleError(
            f"{directory / MANIFEST} was changed after export: its version {manifest.version} does not match"
            " its labels, max_length and files; copy or export the bundle again"
        )
    return Bundle(directory, manifest, _read_golden(directory / GOLDEN, labels=len(manifest.labels)))


def version(files: Mapping[str, str], labels: Sequence[str], max_length: int) -> str:
    """The bundle version that these contents have, 12 hex digits."""
    identity = {"files": dict(files), "labels": list(labels), "max_length": max_length}
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
    max_length: int,
    variants: Mapping[Device, Variant],
    training: Mapping[str, Any],
) -> None:
    """Write bundle.json over the files that lie in `directory`."""
    files = {path.name: _sha256(path) for path in sorted(directory.iterdir()) if path.name != MANIFEST}
    manifest = Manifest(
        format=FORMAT,
        name=name,
        version=version(files, labels, max_length),
        labels=tuple(labels),
        max_length=max_length,
        variants=dict(variants),
        files=files,
        training=dict(training),
    )
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
    content = _read_bytes(path)
    try:
        found = orjson.loads(content).get("format")
        if found != FORMAT:
            raise BundleError(
                f"{path} has format {found!r}, this consumer reads format {FORMAT}; export it again"
            )
        return Manifest.model_validate_json(content)
    except (orjson.JSONDecodeError, AttributeError):
        raise BundleError(f"{path} is not a JSON object; export the bundle again") from None
    except ValidationError as error:
        raise BundleError(f"{path}: {_first(error)}; export the bundle again") from None


def _read_golden(path: Path, *, labels: int) -> tuple[GoldenComment, ...]:
    try:
        golden = TypeAdapter(tuple[GoldenComment, ...]).validate_json(_read_bytes(path))
    except ValidationError as error:
        raise BundleError(f"{path}: {_first(error)}; export the bundle again") from None
    if not golden or any(len(comment.probabilities) != labels for comment in golden):
        raise BundleError(
            f"{path} needs golden comments with {labels} probabilities each; export the bundle again"
        )
    return golden


def _first(error: ValidationError) -> str:
    detail = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in detail["loc"])
    return f"{where}: {detail['msg']}" if where else detail["msg"]


def _verify(path: Path, expected: str) -> None:
    if not path.is_file():
        raise BundleError(f"the bundle lacks {path}; copy or export it again")
    if (actual := _sha256(path)) != expected:
        raise BundleError(
            f"{path} was changed after export (SHA-256 {actual[:12]}…, expected {expected[:12]}…);"
            " copy or export the bundle again"
        )


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(
            f"cannot read {path}: {error.strerror};"
            " --bundle must name a directory that `python -m export` wrote"
        ) from None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
