"""The demo keeps what it has made, and does not pass unless every comment came out once."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from deploy.local import demo as steps
from deploy.local.accounting import Account
from deploy.local.errors import DemoFailed
from deploy.local.produce import Comment
from deploy.local.routed import Routed

# A module of Python's own that ends with exit code 0 for one of these files, and 1 for none.
SUCCEEDS = ("py_compile", __file__)
FAILS = ("py_compile", "no-such-file.py")


@pytest.fixture
def console() -> Console:
    """A console that is no terminal."""
    return Console(file=io.StringIO(), width=200)


def made(directory: Path) -> Path:
    """What a step writes last."""
    directory.mkdir(exist_ok=True)
    result = directory / "training.json"
    result.write_text("{}")
    return result


def printed(console: Console) -> str:
    """What the console was told."""
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_model_is_kept(console: Console, tmp_path: Path) -> None:
    """A result of the same recipe is kept: the command, which would fail, is not run."""
    result = tmp_path / "checkpoint" / "training.json"
    steps._make(console, result, "recipe", SUCCEEDS)
    made(result.parent)
    steps._make(console, result, "recipe", FAILS)

    assert result.exists()
    assert "Kept from an earlier run" in printed(console)


def test_other_recipe_makes_it_anew(console: Console, tmp_path: Path) -> None:
    """A result of another recipe, such as a sample that has changed, is deleted and the command runs."""
    result = made(tmp_path / "checkpoint")
    steps._make(console, result, "recipe", SUCCEEDS)

    assert not result.exists()
    assert "$ python -m py_compile" in printed(console)


def test_interrupted_step_goes_on(console: Console, tmp_path: Path) -> None:
    """What an interrupted run of the same recipe left is still there when the command runs again."""
    result = tmp_path / "checkpoint" / "training.json"
    steps._make(console, result, "recipe", SUCCEEDS)
    result.parent.mkdir()
    (result.parent / "half").write_text("of the work")
    steps._make(console, result, "recipe", SUCCEEDS)

    assert (result.parent / "half").exists()


def test_failed_step_is_named(console: Console, tmp_path: Path) -> None:
    """A command that fails ends the demo with its name and exit code."""
    with pytest.raises(DemoFailed, match="py_compile` ended with exit code 1"):
        steps._make(console, tmp_path / "checkpoint" / "training.json", "recipe", FAILS)


@pytest.mark.parametrize(("sent", "came"), [([b"1", b"2"], [b"1"]), ([b"1"], [b"1", b"1"]), ([], [])])
def test_anything_but_exactly_once_fails(sent: list[bytes], came: list[bytes]) -> None:
    """The demo fails when a comment is missing, when one came twice, and when there was none."""
    account = Account()
    account.send([Comment(key, b"{}") for key in sent])
    account.come([Routed("high", key, "late", "1", 0.9) for key in came])
    with pytest.raises(DemoFailed):
        steps._require_exactly_once(account)


def test_file_without_comments_is_refused_at_once(tmp_path: Path) -> None:
    """A file of the user's that holds no comment is refused before the minutes of fine-tuning."""
    path = tmp_path / "reviews.tsv"
    path.write_text("review_id\treview_body\n")
    with pytest.raises(DemoFailed, match="holds no comment"):
        steps.demo(path, None, tmp_path / ".demo")

    assert not (tmp_path / ".demo").exists()
