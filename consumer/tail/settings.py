"""What `tail` can be asked for."""

import copy
import inspect
from typing import Any

from pydantic_settings import CliToggleFlag, SettingsConfigDict

from consumer.connection import Connection, read, setting
from consumer.errors import SettingsError
from consumer.routing import parse_routes
from consumer.settings import Settings


def _as_in_the_service(name: str) -> Any:
    return copy.copy(Settings.model_fields[name])


class TailSettings(Connection):
    """Follow the routed topics until Ctrl-C: one line a message, coloured by its urgency.

    What the service has too, means the same here, and is a CONSUMER_… variable as well.
    """

    model_config = SettingsConfigDict(cli_prog_name="python -m consumer tail")

    output_prefix: str = _as_in_the_service("output_prefix")
    routes: str = _as_in_the_service("routes")
    text_field: str = _as_in_the_service("text_field")
    urgency: str = setting("", "show these urgencies alone, several with commas; empty shows all")
    min_confidence: float = setting(
        0.0, "leave out labels that the model was less sure of, from 0 to 1", ge=0, le=1
    )
    max_confidence: float = setting(
        1.0, "leave out labels that the model was surer of, from 0 to 1", ge=0, le=1
    )
    grep: str = setting(
        "", "show comments alone that hold this text, in capitals or not; for a pattern, pipe into grep"
    )
    last: int = setting(
        0, "begin with so many of the newest that are there, of those asked for", unit="messages", ge=0
    )
    from_beginning: CliToggleFlag[bool] = setting(False, "begin with all that is there")
    follow: bool = setting(True, "go on with what comes; --no-follow ends with what is there")
    as_json: CliToggleFlag[bool] = setting(
        False, "print the messages as they are, JSON, one a line", alias="json"
    )

    @property
    def urgencies(self) -> tuple[str, ...]:
        """Those to show, most urgent first."""
        wanted = _names(self.urgency)
        return tuple(name for name in parse_routes(self.routes) if not wanted or name in wanted)


# argparse prints it as it stands, indentation and all.
TailSettings.__doc__ = inspect.cleandoc(TailSettings.__doc__ or "")


def parse(arguments: list[str]) -> TailSettings:
    """Read flags and environment; `--help` prints and exits.

    Raises:
        SettingsError: a setting is missing or wrong; the message names each.
    """
    settings = read(TailSettings, arguments)
    routes = parse_routes(settings.routes)
    if unknown := [name for name in _names(settings.urgency) if name not in routes]:
        raise SettingsError(
            f"--urgency: no route is called {unknown[0]!r}, only {', '.join(routes)}; if the service has"
            " others, give its --routes here too"
        )
    if settings.min_confidence > settings.max_confidence:
        raise SettingsError("--min-confidence is above --max-confidence: nothing would be shown")
    if settings.last and settings.from_beginning:
        raise SettingsError("--last and --from-beginning contradict each other: keep one")
    if not (settings.follow or settings.last or settings.from_beginning):
        raise SettingsError("--no-follow shows what is there: say how much, with --last or --from-beginning")
    return settings


def _names(names: str) -> tuple[str, ...]:
    return tuple(filter(None, map(str.strip, names.split(","))))
