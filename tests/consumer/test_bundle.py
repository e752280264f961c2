"""Which bundles are refused, and what is said."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from consumer import bundle
from consumer.errors import BundleError
from consumer.window import Window


@pytest.fixture
def copied(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A bundle to tamper with."""
    return shutil.copytree(tiny_bundle, tmp_path / "bundle")


def edit(directory: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change bundle.json."""
    path = directory / bundle.MANIFEST
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def test_copied_bundle_reads_the_same(tiny_bundle: Path, copied: Path) -> None:
    """A bundle is the same wherever it lies."""
    original, copy = bundle.read(tiny_bundle), bundle.read(copied)
    assert (copy.manifest, copy.golden) == (original.manifest, original.golden)


@pytest.mark.parametrize("name", ["model.cpu.onnx", "model.cuda.onnx", "tokenizer.json", "golden.json"])
def test_tampered_file_is_refused(name: str, copied: Path) -> None:
    """One changed byte in any file refuses the bundle and names the file."""
    content = bytearray((copied / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copied / name).write_bytes(content)
    with pytest.raises(BundleError, match=rf"{re.escape(name)} was changed after export"):
        bundle.read(copied)


@pytest.mark.parametrize("name", ["model.cpu.onnx", "model.cuda.onnx", "tokenizer.json", "golden.json"])
def test_half_bundle_is_refused(name: str, copied: Path) -> None:
    """A bundle without one of its files is refused, and the message names the file."""
    (copied / name).unlink()
    with pytest.raises(BundleError, match=rf"lacks \S+{re.escape(name)}"):
        bundle.read(copied)


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest["labels"].reverse(),
        lambda manifest: manifest.update(max_length=32),
        lambda manifest: manifest.update(tail=0),
        lambda manifest: manifest.update(version="0" * 12),
    ],
    ids=["labels", "max_length", "tail", "version"],
)
def test_tampered_description_is_refused(change: Callable[[dict[str, Any]], object], copied: Path) -> None:
    """Labels in another order, another max_length, tail or version are refused, files unchanged."""
    edit(copied, change)
    with pytest.raises(BundleError, match="was changed after export: its version"):
        bundle.read(copied)


def test_tail_leaves_room_for_the_special_tokens(copied: Path) -> None:
    """A tail that would push [CLS] or [SEP] out of max_length is refused."""
    edit(copied, lambda manifest: manifest.update(tail=manifest["max_length"] - 1))
    with pytest.raises(BundleError, match="tail must leave room"):
        bundle.read(copied)


def test_bundle_of_before_the_tail_is_read(tiny_bundle: Path) -> None:
    """A bundle that says nothing of a tail keeps its version, and is cut at the end alone."""
    manifest = json.loads((tiny_bundle / bundle.MANIFEST).read_text())
    del manifest["tail"]
    identity = {key: manifest[key] for key in ("files", "labels", "max_length")}
    told = hashlib.sha256(json.dumps(identity, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    assert bundle.version(manifest["files"], manifest["labels"], Window(manifest["max_length"])) == told[:12]
    assert bundle.Manifest.model_validate_json(json.dumps(manifest)).window == (manifest["max_length"], 0)


@pytest.mark.parametrize("name", ["../outside.onnx", "/etc/hostname", "sub/model.onnx", ".."])
def test_path_outside_the_bundle_is_refused(name: str, copied: Path) -> None:
    """A file name with a path in it is refused before any file is opened."""
    edit(copied, lambda manifest: manifest["variants"]["cpu"].update(file=name))
    with pytest.raises(BundleError, match=r"bundle\.json: variants\.cpu\.file"):
        bundle.read(copied)


def test_hashed_path_outside_the_bundle_is_refused(copied: Path) -> None:
    """Nor may the list of hashes name a file outside."""
    edit(copied, lambda manifest: manifest["files"].update({"../outside": "0" * 64}))
    with pytest.raises(BundleError, match=r"bundle\.json: files"):
        bundle.read(copied)


def test_file_without_a_hash_is_refused(copied: Path) -> None:
    """A model that no hash vouches for is refused."""
    edit(copied, lambda manifest: manifest["files"].pop("model.cpu.onnx"))
    with pytest.raises(BundleError, match=r"lists no hash for model\.cpu\.onnx"):
        bundle.read(copied)


@pytest.mark.parametrize("found", [2, "1", None])
def test_other_format_is_refused(found: object, copied: Path) -> None:
    """A bundle of another format is refused by both numbers, whatever else it holds."""
    (copied / bundle.MANIFEST).write_text(json.dumps({"format": found, "new": "field"}))
    with pytest.raises(BundleError, match=rf"has format {found!r}, this consumer reads format 1"):
        bundle.read(copied)


@pytest.mark.parametrize("content", ["", "[]", "{"])
def test_other_content_is_refused(content: str, copied: Path) -> None:
    """A bundle.json that is no JSON object is refused as such."""
    (copied / bundle.MANIFEST).write_text(content)
    with pytest.raises(BundleError, match="is not a JSON object"):
        bundle.read(copied)


def test_missing_directory_is_one_sentence(tmp_path: Path) -> None:
    """A directory that is not there is told from a broken bundle, with what to do."""
    with pytest.raises(BundleError, match=r"cannot read \S+bundle\.json: No such file.*--bundle must name"):
        bundle.read(tmp_path / "none")


def test_golden_comments_of_another_model_are_refused(copied: Path) -> None:
    """Golden comments with another number of probabilities are refused even under a valid hash."""
    described = bundle.read(copied)
    bundle.write_golden(copied, [bundle.GoldenComment(text="late", probabilities=(0.5, 0.5))])
    manifest = described.manifest
    bundle.seal(
        copied,
        name=manifest.name,
        labels=manifest.labels,
        window=manifest.window,
        variants=manifest.variants,
        training=manifest.training,
    )
    with pytest.raises(BundleError, match="needs golden comments with 5 probabilities each"):
        bundle.read(copied)


def test_bundle_without_label_counts_is_read(copied: Path) -> None:
    """A bundle of before they were written says nothing of what the model was trained on."""
    edit(copied, lambda manifest: manifest["training"].pop("labels"))
    assert bundle.read(copied).manifest.trained_on is None


def test_label_counts_come_in_the_order_of_the_labels(copied: Path) -> None:
    """Whatever order bundle.json has them in."""
    edit(
        copied, lambda manifest: manifest["training"].update(labels=dict(zip("54321", range(5), strict=True)))
    )
    assert bundle.read(copied).manifest.trained_on == (4, 3, 2, 1, 0)


@pytest.mark.parametrize(
    "counts",
    [
        *("12345", [1, 2, 3, 4, 5], {}, dict.fromkeys("12345", 0)),
        *(dict.fromkeys("12345", -1), dict.fromkeys("12345", 0.5), dict.fromkeys("12345", True)),
        *(dict.fromkeys("1234", 1), dict.fromkeys("123456", 1), dict.fromkeys("12345", 2**53)),
    ],
)
def test_label_counts_that_count_nothing_are_refused(counts: object, copied: Path) -> None:
    """They are whole numbers of each label and of no other, and not all nothing."""
    edit(copied, lambda manifest: manifest["training"].update(labels=counts))
    with pytest.raises(BundleError, match=r"bundle\.json: .*training\.labels must say"):
        bundle.read(copied)


def test_failed_staging_leaves_the_old_bundle(tiny_bundle: Path, copied: Path) -> None:
    """What does not verify is not moved into place, and nothing of it stays."""
    with pytest.raises(BundleError, match=r"bundle\.json"), bundle.staged(copied) as staging:
        (staging / bundle.TOKENIZER).write_text("{}")
    assert bundle.read(copied).manifest == bundle.read(tiny_bundle).manifest
    assert list(copied.parent.iterdir()) == [copied]
