"""`python -m consumer completion SHELL`: what a shell needs to complete the command line, as a script."""

import argparse
import importlib
from importlib.metadata import version
from typing import Any, Final

import shtab

from consumer import connection
from consumer.settings import Settings

# The command that pip installs; a shell completes by its name.
COMMAND: Final = "urgency-router"
SHELLS: Final = ("bash", "zsh", "fish")
INSTALL: Final = """\
Load it once, or for good:
  bash  source <(urgency-router completion bash)
        urgency-router completion bash > ~/.local/share/bash-completion/completions/urgency-router
  zsh   urgency-router completion zsh > DIRECTORY/_urgency-router, DIRECTORY being one of $fpath
  fish  urgency-router completion fish > ~/.config/fish/completions/urgency-router.fish
"""


def main(arguments: list[str]) -> int:
    """Print the script for a shell."""
    print(shtab.complete(_everything(), parser().parse_args(arguments).shell))
    return 0


def parser() -> argparse.ArgumentParser:
    """The flags."""
    made = argparse.ArgumentParser(
        prog="python -m consumer completion",
        description="Print what a shell needs to complete urgency-router's commands, flags and values.",
        epilog=INSTALL,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("shell", choices=SHELLS, help="for which shell")
    return made


def _everything() -> argparse.ArgumentParser:
    """The service's flags and, beneath them, each command's."""
    from consumer.__main__ import COMMANDS  # the commands are among what it asks for

    root = connection.parser(Settings)
    root.prog = COMMAND
    root.add_argument("--version", action="version", version=version(COMMAND), help="print the version")
    commands = root.add_subparsers(metavar="COMMAND")
    for name, module in COMMANDS.items():
        command = importlib.import_module(f"consumer.{module}").parser()
        summary = (command.description or "").partition("\n")[0].partition(":")[0].removesuffix(".")
        commands.add_parser(name, parents=[command], add_help=False, help=summary)
        _complete_values(commands.choices[name])
    _complete_values(root)
    return root


def _complete_values(parser: argparse.ArgumentParser) -> None:
    """Say which flags take one of a few words, and which a file, as their settings do in words alone."""
    for action in parser._actions:
        shown = str(action.metavar or "")
        if action.metavar and shown.startswith("{"):
            action.choices = shown.strip("{}").split(",")
        elif shown == "Path":
            completed: Any = action
            completed.complete = shtab.DIRECTORY if "--bundle" in action.option_strings else shtab.FILE
