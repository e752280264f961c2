"""The service and the commands beside it."""

import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from consumer import __main__
from consumer.__main__ import COMMANDS, main
from consumer.tail import command

ROOT = Path(__file__).parents[2]


def test_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A word that is no command ends with 2, and those that are commands are named."""
    assert main(["tial", "--json"]) == 2
    assert capsys.readouterr().err == f"consumer: there is no command 'tial', but {', '.join(COMMANDS)}\n"


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """The service's --help tells of each command, and each has a --help of its own."""
    with pytest.raises(SystemExit):
        main(["--help"])
    of_the_service = capsys.readouterr().out

    for name in COMMANDS:
        assert name in of_the_service
        with pytest.raises(SystemExit) as ended:
            main([name, "--help"])
        assert ended.value.code == 0
        assert f"usage: python -m consumer {name} " in capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_wrong_flag_of_a_command_is_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A flag that a command does not have ends it with 2, and is named."""
    try:
        code: object = main([name, "--no-such-flag"])
    except SystemExit as ended:
        code = ended.code

    assert code == 2
    assert "--no-such-flag" in capsys.readouterr().err or name == "completion"


def test_commands_do_not_load_the_model() -> None:
    """Whoever follows the topics does not wait for ONNX Runtime to load."""
    loaded = "import sys, consumer.tail.command; sys.exit('onnxruntime' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loaded], check=False).returncode == 0


@pytest.mark.parametrize(("ending", "code"), [(KeyboardInterrupt, 130), (BrokenPipeError, 141)])
def test_harmless_end_is_quiet(
    ending: type[BaseException], code: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C ends a command with 130, a reader that is gone with 141, and neither prints a word."""

    def end(_: list[str]) -> int:
        raise ending

    monkeypatch.setattr(command, "main", end)
    monkeypatch.setattr(__main__.os, "dup2", lambda *_: None)

    assert main(["tail"]) == code
    assert capfd.readouterr() == ("", "")


def test_command_that_pip_installs_is_this_one() -> None:
    """The command urgency-router runs what `python -m consumer` does."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, function = scripts["urgency-router"].partition(":")
    assert getattr(import_module(module), function) is main
