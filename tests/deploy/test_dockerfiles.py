"""What the Dockerfiles say, as far as it can be told without running their steps."""

import re
import shutil
import tomllib
from pathlib import Path

import pytest

from consumer import connection
from consumer.settings import Settings
from tests.dockerfile import context_files

ROOT = Path(__file__).parents[2]
DOCKERFILES = sorted((ROOT / "deploy" / "docker").glob("*.Dockerfile"))


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.stem)
def test_version_is_the_projects(file: Path) -> None:
    """The label with the version has the one of pyproject.toml, unless the build is given another."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

    assert re.findall(r"^ARG VERSION=(.*)$", file.read_text(), re.MULTILINE) == [version]


def test_cuda_is_the_one_that_is_pinned() -> None:
    """The consumer's base has the CUDA that constraints.txt pins, on which the bundles were made."""
    base = re.search(r"^ARG BASE=nvidia/cuda:([\d.]+)-cudnn-runtime-", _text("consumer"), re.MULTILINE)
    pin = re.search(r"^cuda-toolkit==(\d+\.\d+\.\d+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)

    assert base
    assert pin
    assert base[1] == pin[1]


def test_port_is_the_consumers() -> None:
    """The port that the image exposes and its health check asks is the consumer's default."""
    assert f"CONSUMER_METRICS_PORT={Settings.model_fields['metrics_port'].default}\n" in _text("consumer")


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.stem)
def test_variables_are_settings(file: Path) -> None:
    """An image sets no variable of the consumer's that it does not know."""
    settings = {connection.variable(name) for name in Settings.model_fields}

    assert set(re.findall(r"\bCONSUMER_[A-Z_]+", file.read_text())) <= settings


def test_build_sees_sources_alone(tmp_path: Path) -> None:
    """No model, review, secret, test or repository reaches a build, only what the Dockerfiles copy."""
    wanted = {
        *("LICENSE", "README.md", "constraints.txt", "pyproject.toml", "deploy/docker/health_check.py"),
        *("consumer/__main__.py", "export/golden.json", "finetune/sample/comments.tsv"),
    }
    unwanted = {
        *(".demo/bundle/model.cpu.onnx", ".env", ".git/config", ".venv/bin/python", "reviews.tsv.gz"),
        *("consumer/__pycache__/x.pyc", "deploy/docker/.env", "deploy/local/broker.py", "tests/conftest.py"),
    }
    for name in wanted | unwanted:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    shutil.copy(ROOT / ".dockerignore", tmp_path)

    seen = context_files(tmp_path) - {Path(".dockerignore")}
    assert seen == {Path(name) for name in wanted}


def _text(name: str) -> str:
    return (ROOT / "deploy" / "docker" / f"{name}.Dockerfile").read_text()
