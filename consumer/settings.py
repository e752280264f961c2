"""Every setting once: name, default, unit and why. Each is a flag and a CONSUMER_… variable."""

import importlib
import inspect
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from consumer.bundle import DeviceChoice, PrecisionChoice
from consumer.connection import SECRETS, Connection, flag, read, setting, variable
from consumer.errors import SettingsError
from consumer.logs import LogFormat
from consumer.messages import CLASSIFICATION, InputFormat
from consumer.offsets import OffsetReset
from consumer.routing import DEAD_LETTER, TOPIC_PART, parse_routes

LONGEST_TOPIC = 249

# What the extra `email` installs.
EMAIL_PACKAGES = ("lxml", "quotequail")

# Beside a transaction's time, the loop waits for one request of 10 s, or for a new connection, at most.
WAIT_SECONDS = 15


class Settings(Connection):
    """Read comments from Kafka, classify them, and publish each to the topic of its urgency, exactly once.

    Each flag is also a variable: --input-topic is CONSUMER_INPUT_TOPIC. A flag wins over its variable.

    Commands for those who look after it, each with a --help of its own: python -m consumer tail follows the
    routed topics, doctor checks a deployment, replay labels a stretch of history again, completion lets a
    shell complete what you type.
    --version prints the version.
    """

    model_config = SettingsConfigDict(cli_prog_name="python -m consumer")

    bundle: Path = Field(description="directory that `python -m export` wrote")
    bundle_check_seconds: float = setting(
        10.0,
        "how often the bundle's path is looked at; a new version there takes over between two transactions"
        " once it has proved itself; 0 never",
        unit="seconds",
        ge=0,
    )
    shadow_bundle: Path | None = setting(
        None, "a second bundle that classifies the same comments; nothing of it is published but metrics"
    )
    shadow_share: float = setting(
        0.1, "of the comments, how many the shadow classifies too; the text decides which", ge=0, le=1
    )
    group_id: str = setting(
        "urgency-router", "consumer group; replicas that share the work share it", min_length=1
    )
    input_topic: str = setting("comments", "topic to read", min_length=1)
    output_prefix: str = setting(
        "comments.", "before the urgency in the name of each topic written", min_length=1
    )
    input_format: InputFormat = setting(
        "json",
        "json: an object with the text in a field; text: the text itself; email: an RFC 5322 message, whose"
        " text is the subject and the newest part of the body",
    )
    include_original: bool = setting(
        False,
        "of an e-mail: put its bytes into the labelled message too, as `original` in base64; that takes a"
        " third more than the e-mail itself, and one that then exceeds max_message_bytes is a dead letter",
    )
    text_field: str = setting("text", "field of the JSON object that holds the comment", min_length=1)
    routes: str = setting("high: 1,2; medium: 3; low: 4,5", "urgency: labels, most urgent first")
    weights: str = setting(
        "", "how many times worse it is to miss an urgency than another, as 'high: 5'; 1 for those left out"
    )
    split_by: str = setting(
        "", "field of the JSON object that splits the routed topics, so that each team subscribes to its own"
    )
    split_values: str = setting(
        "",
        "values of that field, with commas, that get topics of their own: comments.high.VALUE; a comment"
        " without one of them goes to comments.high",
    )
    device: DeviceChoice = setting("auto", "where the model runs; auto takes a usable GPU, else the CPU")
    precision: PrecisionChoice = setting(
        "default",
        "numbers of the model: default is fp32 on a CPU and fp16 on a GPU; int8 is for a CPU, changes up to"
        " one label in a hundred, and is faster where the log of a start says so",
    )
    workers: int = setting(
        1,
        "consumers in processes of their own, for a device that one cannot feed; each loads the model",
        unit="processes",
        ge=1,
    )
    threads: int = setting(
        0,
        "CPU threads of the model, each with a micro-batch of its own; 0 shares the cores among the workers",
        unit="threads",
        ge=0,
    )
    micro_batch_tokens: int = setting(
        0,
        "padded tokens in a micro-batch; 0 measures at the start what is fastest",
        unit="tokens",
        ge=0,
    )
    gpu_memory_gb: float = setting(
        0.0,
        "the most that each worker takes of a GPU's memory for what the model computes, so that several, or"
        " other programs, can share one; 0 is no bound",
        unit="GB",
        ge=0,
    )
    max_batch_seconds: float = setting(
        1.0,
        "how long the device may take for a batch; bounds the delay under a backlog",
        unit="seconds",
        gt=0,
        le=60,
    )
    max_batch_messages: int = setting(
        5000, "most messages in a batch, so in a transaction, however fast the device", unit="messages", gt=0
    )
    max_message_bytes: int = setting(
        1_000_000,
        "a labelled message above it becomes a dead letter; keep it under the topics' max.message.bytes",
        unit="bytes",
        gt=0,
    )
    max_timestamp_age: float = setting(
        86_400.0,
        "an older timestamp is replaced by the time of publication, since Kafka deletes by timestamp",
        unit="seconds",
        gt=0,
    )
    auto_offset_reset: OffsetReset = setting(
        "earliest",
        "where a group without a committed offset starts, or goes on if that is gone; none: end",
    )
    session_timeout_seconds: float = setting(
        45.0, "a replica silent for longer loses its partitions", unit="seconds", gt=0
    )
    max_poll_interval_seconds: float = setting(
        300.0, "a replica whose loop is stuck for longer loses its partitions", unit="seconds", gt=0
    )
    metadata_max_age_seconds: float = setting(
        60.0, "how soon partitions added to the input topic are noticed", unit="seconds", gt=0
    )
    transaction_timeout_seconds: float = setting(
        30.0,
        "a killed replica's open transaction holds up read_committed readers this long;"
        " keep it under the session timeout",
        unit="seconds",
        gt=0,
    )
    transactional_id: str = setting(
        "",
        "fixed name, of this replica alone, so that its restart ends its open transaction at once;"
        " empty takes a random one; of several workers each adds its number",
    )
    compression: Literal["none", "gzip", "lz4", "zstd"] = setting("none", "of the messages written")
    create_topics: bool = setting(False, "make the topics that are missing; otherwise that is an error")
    topic_partitions: int = setting(
        6, "partitions of topics made; bounds the replicas that share the work", unit="partitions", gt=0
    )
    topic_replication: int = setting(
        -1, "replicas of topics made; -1 takes the broker's default", unit="replicas", ge=-1
    )
    metrics_host: str = setting("0.0.0.0", "address that /metrics, /livez and /readyz listen on")  # noqa: S104
    metrics_port: int = setting(9108, "port that they listen on; 0 takes a free one", ge=0, le=65535)
    stall_seconds: float = setting(
        300.0, "/livez fails once the loop has been silent for longer", unit="seconds", gt=0
    )
    exit_at_end: bool = setting(False, "stop once everything in the input topic is published")
    log_level: Literal["debug", "info", "warning", "error"] = setting("info", "least level that is logged")
    log_format: LogFormat = setting("auto", "auto: text on a terminal, else JSON, one object a line")
    log_texts: bool = setting(
        False, "debugging only: log every comment's text with its label, and in tracebacks what errors say"
    )
    traces: bool = setting(
        False,
        "continue the trace of a message that brings a traceparent, and export a span of it; OpenTelemetry's"
        " own variables say where to and of which messages, such as OTEL_EXPORTER_OTLP_ENDPOINT and"
        " OTEL_TRACES_SAMPLER; needs pip install '.[traces]'",
    )

    def topic(self, urgency: str, split: str | None = None) -> str:
        """The topic that an urgency's messages go to, or those of them with one of the split's values."""
        return f"{self.output_prefix}{urgency}" + ("" if split is None else f".{split}")

    @property
    def splits(self) -> tuple[str, ...]:
        """The values that get topics of their own."""
        return tuple(filter(None, map(str.strip, self.split_values.split(","))))

    @property
    def routed_topics(self) -> list[str]:
        """Every topic that labelled messages can go to."""
        return [
            self.topic(urgency, split)
            for urgency in parse_routes(self.routes)
            for split in (None, *self.splits)
        ]

    @property
    def dead_letter_topic(self) -> str:
        """The topic of the dead letters."""
        return self.topic(DEAD_LETTER)


# argparse prints it as it stands, indentation and all.
Settings.__doc__ = inspect.cleandoc(Settings.__doc__ or "")


Kind = TypeVar("Kind", bound=Settings)


def parse(arguments: list[str], kind: type[Settings] = Settings) -> Settings:
    """Read flags and environment; `--help` prints and exits.

    Args:
        arguments: the flags.
        kind: which settings there are.

    Raises:
        SettingsError: a setting is missing or wrong; the message names each.
    """
    return checked(read(kind, arguments))


def checked(settings: Kind) -> Kind:
    """Give the settings back if they fit together.

    Raises:
        SettingsError: they contradict each other.
    """
    if settings.transaction_timeout_seconds >= settings.session_timeout_seconds:
        raise SettingsError(
            "--transaction-timeout-seconds must be below --session-timeout-seconds, or a killed replica holds"
            " up readers longer than it holds its partitions"
        )
    longest_silence = settings.max_batch_seconds + settings.transaction_timeout_seconds + WAIT_SECONDS
    if settings.stall_seconds < longest_silence:
        raise SettingsError(
            f"--stall-seconds must be {longest_silence:g} at least, which is --max-batch-seconds,"
            f" --transaction-timeout-seconds and {WAIT_SECONDS} more, or /livez takes one for stuck that only"
            " waits for Kafka"
        )
    if settings.input_format == "json" and settings.text_field == CLASSIFICATION:
        raise SettingsError(
            f"--text-field: the labelled message has its own {CLASSIFICATION!r} in place of the comment's;"
            " name another field"
        )
    _check_email(settings)
    _check_topics(settings)
    _check_traces(settings)
    return settings


def _check_email(settings: Settings) -> None:
    if settings.input_format != "email":
        if settings.include_original:
            raise SettingsError(
                "--include-original is for --input-format email: others come out whole anyway"
            )
        return
    if missing := [name for name in EMAIL_PACKAGES if find_spec(name) is None]:
        raise SettingsError(
            f"--input-format email needs {' and '.join(missing)}, not installed here: pip install '.[email]'"
        )


def _check_traces(settings: Settings) -> None:
    if not settings.traces:
        return
    try:
        importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    except ImportError as error:
        raise SettingsError(
            "--traces needs OpenTelemetry, not installed here: pip install '.[traces]'"
        ) from error


def _check_topics(settings: Settings) -> None:
    if bool(settings.split_by) != bool(settings.splits):
        raise SettingsError(
            "--split-by and --split-values go together: name a field, and the values it can have"
        )
    if settings.split_by and settings.input_format != "json":
        raise SettingsError(
            f"--split-by is for --input-format json: {settings.input_format} has no field that could split it"
        )
    if wrong := [value for value in settings.splits if not TOPIC_PART.fullmatch(value)]:
        raise SettingsError(
            f"--split-values: {wrong[0]!r} cannot end a topic's name; use letters, digits, '.', '_' and '-'"
        )
    names = [*settings.routed_topics, settings.dead_letter_topic]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SettingsError(
            f"two kinds of messages would go to the topic {twice[0]!r}; name a value or a route anew"
        )
    if long := [name for name in names if len(name) > LONGEST_TOPIC]:
        raise SettingsError(f"Kafka takes topics of {LONGEST_TOPIC} characters at most, not {long[0]!r}")
    if settings.input_topic in names:
        raise SettingsError(
            f"messages would be published to the input topic {settings.input_topic!r}, and be read again;"
            " choose another --output-prefix"
        )


def markdown_table() -> str:
    """The README's table of settings."""
    rows = ["| flag | variable | default | what |", "| --- | --- | --- | --- |"]
    fields = sorted(Settings.model_fields.items(), key=lambda named: not named[1].is_required())
    for name, field in fields:
        value = str(field.default).lower() if isinstance(field.default, bool) else field.default
        default = "required" if field.is_required() else "" if value in ("", None) else f"`{value}`"
        text = (field.description or "").replace("|", "\\|")
        shown = "no flag" if name in SECRETS else f"`{flag(name)}`"
        rows.append(f"| {shown} | `{variable(name)}` | {default} | {text} |")
    return "\n".join(rows)
