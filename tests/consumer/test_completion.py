"""Shells complete the command line."""

import fcntl
import os
import pty
import select
import shutil
import struct
import subprocess
import termios
import time
from pathlib import Path

import pytest

from consumer.__main__ import COMMANDS, main
from consumer.completion import SHELLS

SECONDS = 60.0

# What is typed, the last word being completed; some of the candidates; and some that are none.
CASES = [
    ("", [*COMMANDS], ["bundle.json"]),
    ("ta", ["tail"], ["doctor"]),
    ("--dev", ["--device"], ["--urgency"]),
    ("--device ", ["auto", "cuda", "cpu"], ["tail"]),
    ("--security-protocol SA", ["SASL_PLAINTEXT", "SASL_SSL"], ["SSL"]),
    (
        "tail --",
        ["--urgency", "--grep", "--no-follow", "--json", "--routes"],
        ["--bundle", "--sasl-password"],
    ),
    ("tail --sasl-mechanism ", ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"], ["doctor"]),
    ("doctor --no-", ["--no-check-model", "--no-create-topics"], ["--no-follow"]),
    ("completion ", [*SHELLS], ["tail"]),
    ("--ssl-ca-file bun", ["bundle.json"], []),
]

BASH = r"""
source "$1"; shift
function=$(complete -p urgency-router | sed -E 's/.* -F ([^ ]+) .*/\1/')
COMP_WORDS=(urgency-router "$@") COMP_CWORD=$#
"$function"
printf '%s\n' "${COMPREPLY[@]}"
"""

FISH = """
source $argv[1]
complete --do-complete="urgency-router $argv[2]"
"""

ZSH = """\
fpath=({directory} $fpath); autoload -U compinit; compinit -u -D; bindkey '^I' list-choices
PS1='RE''ADY> '
"""


def printed(*command: str, directory: Path) -> str:
    """What a program prints, working in a directory."""
    done = subprocess.run(
        command, cwd=directory, stdout=subprocess.PIPE, text=True, timeout=SECONDS, check=True
    )
    return done.stdout


def ask_bash(script: Path, typed: str) -> set[str]:
    """The candidates of the function that bash calls."""
    return set(
        printed("bash", "-c", BASH, "bash", str(script), *typed.split(" "), directory=script.parent).split()
    )


def ask_fish(script: Path, typed: str) -> set[str]:
    """The candidates that fish would list, without what it says of each."""
    lines = printed("fish", "--no-config", "--command", FISH, str(script), typed, directory=script.parent)
    return {line.partition("\t")[0] for line in lines.splitlines()}


def ask_zsh(script: Path, typed: str) -> set[str]:
    """The words that zsh prints when Tab is pressed; it completes on a terminal alone."""
    terminal, other_end = pty.openpty()
    fcntl.ioctl(other_end, termios.TIOCSWINSZ, struct.pack("HHHH", 400, 200, 0, 0))
    shell = subprocess.Popen(
        ["zsh", "-f", "-i"],
        **dict.fromkeys(("stdin", "stdout", "stderr"), other_end),
        cwd=script.parent,
        env={**os.environ, "TERM": "dumb"},
        start_new_session=True,
    )
    try:
        os.write(terminal, ZSH.format(directory=script.parent).encode())
        # Before the prompt is there, the terminal itself would take some of the keys.
        read_until(terminal, "READY> ")
        # What comes after it is typed once the candidates are listed.
        os.write(terminal, f"urgency-router {typed}\t\x15print 'DO''NE'\n".encode())
        return set(read_until(terminal, "DONE").split())
    finally:
        shell.kill()
        shell.wait()
        os.close(terminal)
        os.close(other_end)


def read_until(terminal: int, mark: str) -> str:
    """What is shown until the mark is, within SECONDS."""
    seen, deadline = "", time.monotonic() + SECONDS
    while mark not in seen:
        ready, _, _ = select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"no {mark} in {seen!r}"
        seen += os.read(terminal, 65536).decode(errors="replace")
    return seen


ASK = {"bash": ask_bash, "zsh": ask_zsh, "fish": ask_fish}


@pytest.fixture(scope="module", params=SHELLS)
def script(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script for a shell, alone in a directory with a file to complete."""
    shell = request.param
    if not shutil.which(shell):
        pytest.skip(f"needs {shell}, Debian's package of that name")
    directory = tmp_path_factory.mktemp(shell)
    (directory / "bundle.json").touch()
    with pytest.MonkeyPatch.context() as patch:
        shown: list[str] = []
        patch.setattr("builtins.print", shown.append)
        assert main(["completion", shell]) == 0
    file = directory / ("_urgency-router" if shell == "zsh" else f"script.{shell}")
    file.write_text("\n".join(shown))
    return file


@pytest.mark.parametrize(("typed", "candidates", "none"), CASES)
def test_shell_completes(script: Path, typed: str, candidates: list[str], none: list[str]) -> None:
    """Commands, flags, their values and files are candidates where they belong, and nowhere else."""
    shell = "zsh" if script.name.startswith("_") else script.suffix.removeprefix(".")

    found = ASK[shell](script, typed)

    assert found >= set(candidates)
    assert not found & set(none)


def test_another_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A shell that is not known is refused, and those that are known are named."""
    with pytest.raises(SystemExit) as ended:
        main(["completion", "tcsh"])

    assert ended.value.code == 2
    assert all(shell in capsys.readouterr().err.splitlines()[-1] for shell in SHELLS[:1])
