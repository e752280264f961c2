"""Every setting once: name, default, unit and why. Each is a flag and a CONSUMER_… variable."""

import inspect
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as PydanticSettingsError

from consumer.bundle import DeviceChoice
from consumer.errors import SettingsError
from consumer.logs import LogFormat
from consumer.messages import InputFormat
from consumer.routing import DEAD_LETTER, parse_routes

PREFIX = "CONSUMER_"


def _setting(default: Any, text: str, *, unit: str | None = None, **limits: Any) -> Any:
    return Field(default, description=f"{text} [{unit}]" if unit else text, **limits)


class Settings(BaseSettings):
    """Read comments from Kafka, classify them, and publish each to the topic of its urgency, exactly once.

    Each flag is also a variable: --input-topic is CONSUMER_INPUT_TOPIC. A flag wins over its variable.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        cli_prog_name="python -m consumer",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
        frozen=True,
        extra="forbid",
    )

    bundle: Path = Field(description="directory that `python -m export` wrote")
    bootstrap_servers: str = Field(description="brokers to ask first, HOST:PORT, several with commas")
    group_id: str = _setting(
        "urgency-router", "consumer group; replicas that share the work share it", min_length=1
    )
    input_topic: str = _setting("comments", "topic to read", min_length=1)
    output_prefix: str = _setting(
        "comments.", "before the urgency in the name of each topic written", min_length=1
    )
    input_format: InputFormat = _setting(
        "json", "json: an object with the text in a field; text: the text itself"
    )
    text_field: str = _setting("text", "field of the JSON object that holds the comment", min_length=1)
    routes: str = _setting("high: 1,2; medium: 3; low: 4,5", "urgency: labels, most urgent first")
    weights: str = _setting(
        "", "how many times worse it is to miss an urgency than another, as 'high: 5'; 1 for those left out"
    )
    device: DeviceChoice = _setting("auto", "where the model runs; auto takes a usable GPU, else the CPU")
    threads: int = _setting(0, "CPU threads of the model; 0 takes one a core", unit="threads", ge=0)
    micro_batch_tokens: int = _setting(
        0,
        "padded tokens the model computes at once; 0 takes what suits the device",
        unit="tokens",
        ge=0,
    )
    max_batch_seconds: float = _setting(
        1.0,
        "how long the device may take for a batch; bounds the delay under a backlog",
        unit="seconds",
        gt=0,
        le=60,
    )
    max_batch_messages: int = _setting(
        5000, "most messages in a batch, so in a transaction, however fast the device", unit="messages", gt=0
    )
    max_message_bytes: int = _setting(
        1_000_000,
        "a labelled message above it becomes a dead letter; keep it under the topics' max.message.bytes",
        unit="bytes",
        gt=0,
    )
    max_timestamp_age: float = _setting(
        86_400.0,
        "an older timestamp is replaced by the time of publication, since Kafka deletes by timestamp",
        unit="seconds",
        gt=0,
    )
    auto_offset_reset: Literal["earliest", "latest"] = _setting(
        "earliest", "where a group without committed offsets starts"
    )
    session_timeout_seconds: float = _setting(
        45.0, "a replica silent for longer loses its partitions", unit="seconds", gt=0
    )
    transaction_timeout_seconds: float = _setting(
        30.0,
        "a killed replica's open transaction holds up read_committed readers this long;"
        " keep it under the session timeout",
        unit="seconds",
        gt=0,
    )
    transactional_id: str = _setting(
        "",
        "fixed name, of this replica alone, so that its restart ends its open transaction at once;"
        " empty takes a random one",
    )
    compression: Literal["none", "gzip", "lz4", "zstd"] = _setting("none", "of the messages written")
    create_topics: bool = _setting(False, "make the topics that are missing; otherwise that is an error")
    topic_partitions: int = _setting(
        6, "partitions of topics made; bounds the replicas that share the work", unit="partitions", gt=0
    )
    topic_replication: int = _setting(
        -1, "replicas of topics made; -1 takes the broker's default", unit="replicas", ge=-1
    )
    metrics_host: str = _setting("0.0.0.0", "address that /metrics, /livez and /readyz listen on")  # noqa: S104
    metrics_port: int = _setting(9108, "port that they listen on; 0 takes a free one", ge=0, le=65535)
    stall_seconds: float = _setting(
        300.0, "/livez fails once the loop has been silent for longer", unit="seconds", gt=0
    )
    exit_at_end: bool = _setting(False, "stop once everything in the input topic is published")
    log_level: Literal["debug", "info", "warning", "error"] = _setting("info", "least level that is logged")
    log_format: LogFormat = _setting("auto", "auto: text on a terminal, else JSON, one object a line")

    def topic(self, urgency: str) -> str:
        """The topic that an urgency's messages go to."""
        return f"{self.output_prefix}{urgency}"

    @property
    def dead_letter_topic(self) -> str:
        """The topic of the dead letters."""
        return self.topic(DEAD_LETTER)


# argparse prints it as it stands, indentation and all.
Settings.__doc__ = inspect.cleandoc(Settings.__doc__ or "")


def parse(arguments: list[str]) -> Settings:
    """Read flags and environment; `--help` prints and exits.

    Raises:
        SettingsError: a setting is missing or wrong; the message names each.
    """
    try:
        settings = Settings(_cli_parse_args=arguments)
    except ValidationError as error:
        problems = (f"{_flag(str(e['loc'][0]))}: {e['msg'].lower()}" for e in error.errors(include_url=False))
        raise SettingsError("; ".join(problems) + "; see --help") from None
    except PydanticSettingsError as error:
        raise SettingsError(f"{error}; see --help") from None
    if settings.transaction_timeout_seconds >= settings.session_timeout_seconds:
        raise SettingsError(
            "--transaction-timeout-seconds must be below --session-timeout-seconds, or a killed replica holds"
            " up readers longer than it holds its partitions"
        )
    if parsed_back := [u for u in parse_routes(settings.routes) if settings.topic(u) == settings.input_topic]:
        raise SettingsError(
            f"the urgency {parsed_back[0]!r} would be published to the input topic {settings.input_topic!r},"
            " and be read again; choose another --output-prefix"
        )
    return settings


def markdown_table() -> str:
    """The README's table of settings."""
    rows = ["| flag | variable | default | what |", "| --- | --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        default = (
            "required"
            if field.is_required()
            else f"`{str(field.default).lower()}`"
            if field.default != ""
            else ""
        )
        text = (field.description or "").replace("|", "\\|")
        rows.append(f"| `{_flag(name)}` | `{PREFIX}{name.upper()}` | {default} | {text} |")
    return "\n".join(rows)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
