"""A Dockerfile's steps, run in order without a container.

The image's paths lie under a directory of this machine, and this machine's Python stands in for the base's.
Commands run as they are written, but for `apt-get`: only what it was asked for is noted.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from string import Template

import dockerfile
from docker.utils.build import exclude_paths

# An absolute path's first slash, wherever the path begins: alone, after white space, a quote, `=` or `:`.
_ABSOLUTE = re.compile(r"(?<![\w./$~{}*-])/(?=\w)")

_APT_GET = "#!/bin/sh\nprintf '%s\\n' \"$*\" >> '{log}'\n"


@dataclass(frozen=True)
class Stage:
    """What a stage has come to: its files, and how what is in them runs."""

    root: Path
    # With this machine's paths.
    environment: dict[str, str]
    directory: str = "/"
    user: str = ""
    ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    health_check: tuple[str, ...] = ()
    stop_signal: str = ""
    entrypoint: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()

    def here(self, text: str) -> str:
        """A text with the image's absolute paths where they lie on this machine."""
        return _ABSOLUTE.sub(f"{self.root}/", text)

    def path(self, path: str) -> Path:
        """Where a path of the image, absolute or from its working directory, lies on this machine."""
        return Path(os.path.normpath(f"{self.root}/{Path(self.directory, path)}"))

    def spawn(self, *command: str, **variables: str) -> "subprocess.Popen[str]":
        """Start a command of the image with its variables and these, and with none of this machine's."""
        return subprocess.Popen(
            [self.here(word) for word in command],
            cwd=self.path("."),
            env={**self.environment, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *command: str, **variables: str) -> str:
        """Run a command of the image to its end, which must be a good one; what it printed."""
        process = self.spawn(*command, **variables)
        printed, _ = process.communicate()
        assert process.returncode == 0, printed
        return printed


class Build:
    """A Dockerfile's steps, in order; `printed` is what its commands said."""

    def __init__(self, file: Path, context: Path, directory: Path) -> None:
        """Prepare to build from `context`, under `directory`."""
        self.printed = ""
        self._commands = dockerfile.parse_file(str(file))
        self._context = context
        self._directory = directory
        self._arguments: dict[str, str] = {}
        self._stages: dict[str, Stage] = {}
        self._tools = directory / "tools"
        self._tools.mkdir(parents=True)
        (self._tools / "python3").symlink_to(sys.executable)
        self._apt_get_log = self._tools / "apt-get.log"
        self._apt_get_log.touch()
        apt_get = self._tools / "apt-get"
        apt_get.write_text(_APT_GET.format(log=self._apt_get_log))
        apt_get.chmod(0o755)

    def run(self, before_run: Callable[[str, Stage], None] = lambda command, stage: None) -> None:
        """Run all steps; `before_run` sees each command before it is run, and the stage as it is then."""
        self._before_run = before_run
        for command in self._commands:
            getattr(self, f"_{command.cmd.lower()}")(command)

    @property
    def image(self) -> Stage:
        """The last stage, as far as it has come."""
        return list(self._stages.values())[-1]

    @property
    def packages(self) -> set[str]:
        """What apt-get was asked to install."""
        calls = [shlex.split(line) for line in self._apt_get_log.read_text().splitlines()]
        return {word for name, *words in calls if name == "install" for word in words if word[0] != "-"}

    def _expand(self, text: str) -> str:
        """A value without its quotes, and with what its variables stand for."""
        image = self.image.environment if self._stages else {}
        return Template("".join(shlex.split(text))).substitute(self._arguments | image)

    def _set(self, **changes: object) -> None:
        self._stages[next(reversed(self._stages))] = replace(self.image, **changes)  # type: ignore[arg-type]

    def _arg(self, command: dockerfile.Command) -> None:
        [argument] = command.value
        name, _, default = argument.partition("=")
        self._arguments[name] = default

    def _from(self, command: dockerfile.Command) -> None:
        base, *alias = command.value
        name = alias[-1] if alias else "last"
        root = self._directory / name
        if base in self._stages:
            shutil.copytree(self._stages[base].root, root, symlinks=True)
            self._stages[name] = replace(self._stages[base], root=root)
        else:
            (root / "tmp").mkdir(parents=True)
            self._stages[name] = Stage(root, {"PATH": f"{self._tools}:/usr/bin:/bin"})

    def _run(self, command: dockerfile.Command) -> None:
        [text] = command.value
        for flag in command.flags:
            target = dict(part.split("=") for part in flag.removeprefix("--mount=").split(","))["target"]
            self.image.path(target).mkdir(parents=True, exist_ok=True)
        self._before_run(text, self.image)
        # pip's configuration is this machine's; modules that only this process should see are not.
        outer = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        done = subprocess.run(
            ["/bin/sh", "-c", self.image.here(text)],
            cwd=self.image.path("."),
            env={**outer, **self._arguments, **self.image.environment},
            umask=0o022,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command.original}\n{done.stdout}"
        self.printed += done.stdout

    def _copy(self, command: dockerfile.Command) -> None:
        *sources, target = command.value
        from_stage = [flag.removeprefix("--from=") for flag in command.flags]
        for source in sources:
            destination = self.image.path(target)
            if from_stage:
                found = self._stages[from_stage[0]].path(source)
                shutil.copytree(found, destination, symlinks=True, copy_function=os.link)
                continue
            if target.endswith("/"):
                destination /= Path(source).name
            self._copy_from_context(source, destination)

    def _copy_from_context(self, source: str, destination: Path) -> None:
        files = [
            path
            for path in context_files(self._context)
            if path == Path(source) or Path(source) in path.parents
        ]
        assert files, f"{source} is not in the context"
        for path in files:
            copy = destination / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self._context / path, copy)

    def _workdir(self, command: dockerfile.Command) -> None:
        self._set(directory=command.value[0])
        self.image.path(".").mkdir(parents=True, exist_ok=True)

    def _env(self, command: dockerfile.Command) -> None:
        pairs = zip(command.value[::2], command.value[1::2], strict=True)
        new = {name: self._expand(self.image.here(value)) for name, value in pairs}
        self._set(environment=self.image.environment | new)

    def _label(self, command: dockerfile.Command) -> None:
        pairs = zip(command.value[::2], command.value[1::2], strict=True)
        self._set(labels=self.image.labels | {name: self._expand(value) for name, value in pairs})

    def _user(self, command: dockerfile.Command) -> None:
        self._set(user=command.value[0])

    def _expose(self, command: dockerfile.Command) -> None:
        self._set(ports=tuple(map(self._expand, command.value)))

    def _volume(self, command: dockerfile.Command) -> None:
        self._set(volumes=command.value)

    def _healthcheck(self, command: dockerfile.Command) -> None:
        kind, *check = command.value
        assert (kind, command.json) == ("CMD", True), "a shell would be needed to check the health"
        self._set(health_check=tuple(check))

    def _stopsignal(self, command: dockerfile.Command) -> None:
        self._set(stop_signal=command.value[0])

    def _entrypoint(self, command: dockerfile.Command) -> None:
        assert command.json, "a shell would be the first process, and keep SIGTERM to itself"
        self._set(entrypoint=command.value)

    def _cmd(self, command: dockerfile.Command) -> None:
        self._set(arguments=command.value)


def context_files(context: Path) -> set[Path]:
    """The files that a build gets to see, relative to the context: those that .dockerignore leaves."""
    patterns = (context / ".dockerignore").read_text().splitlines()
    found = exclude_paths(str(context), [pattern for pattern in patterns if not pattern.startswith("#")])
    return {Path(path) for path in found if (context / path).is_file()}
