"""Settings from flags and variables."""

import sys

import pytest

from consumer import settings
from consumer.connection import SECRETS
from consumer.errors import SettingsError

REQUIRED = ["--bundle", "bundle", "--bootstrap-servers", "localhost:9092"]
SPLIT = [*REQUIRED, "--split-by", "shop", "--split-values"]


def test_flag_wins_over_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable sets what no flag sets, and a flag wins over it."""
    monkeypatch.setenv("CONSUMER_GROUP_ID", "from-variable")
    monkeypatch.setenv("CONSUMER_CREATE_TOPICS", "true")

    assert settings.parse(REQUIRED).group_id == "from-variable"
    parsed = settings.parse([*REQUIRED, "--group-id", "from-flag"])
    assert (parsed.group_id, parsed.create_topics) == ("from-flag", True)


def test_names_of_the_contract() -> None:
    """The flags that the design promises exist under these names."""
    flags = (
        "--group-id g --input-topic in --output-prefix out. --device cpu --metrics-port 0"
        " --create-topics --exit-at-end"
    )
    parsed = settings.parse([*REQUIRED, *flags.split(), "--routes", "a: 1; b: 2", "--weights", "a: 2"])

    assert (parsed.topic("a"), parsed.dead_letter_topic) == ("out.a", "out.dead-letter")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--bootstrap-servers: field required.*--bundle: field required"),
        ([*REQUIRED, "--threads", "-1"], "--threads: input should be greater than or equal to 0"),
        ([*REQUIRED, "--max-batch-seconds", "soon"], "--max-batch-seconds: input should be a valid number"),
        ([*REQUIRED, "--transaction-timeout-seconds", "45"], "must be below --session-timeout-seconds"),
        ([*REQUIRED, "--stall-seconds", "45"], "--stall-seconds must be 46 at least"),
        ([*REQUIRED, "--input-topic", "comments.high"], "published to the input topic"),
        ([*REQUIRED, "--routes", "high"], "cannot read 'high'"),
        ([*REQUIRED, "--split-by", "shop"], "--split-by and --split-values go together"),
        ([*REQUIRED, "--split-values", "a"], "--split-by and --split-values go together"),
        ([*SPLIT, "a,b c"], "'b c' cannot end a topic's name"),
        ([*SPLIT, "a,a"], "two kinds of messages would go to the topic 'comments.high.a'"),
        ([*SPLIT, "a", "--routes", "high: 1,2; high.a: 3,4,5"], "would go to the topic 'comments.high.a'"),
        ([*SPLIT, "a", "--input-topic", "comments.low.a"], "published to the input topic"),
        ([*SPLIT, "a", "--input-format", "email"], "email has no field that could split it"),
        ([*REQUIRED, "--include-original"], "--include-original is for --input-format email"),
        ([*SPLIT, "a", "--input-format", "text"], "text has no field that could split it"),
        ([*SPLIT, "a" * 240], "Kafka takes topics of 249 characters at most"),
    ],
)
def test_wrong_setting_is_named(arguments: list[str], message: str) -> None:
    """A missing or wrong setting is refused by its flag's name, with what is wrong."""
    with pytest.raises(SettingsError, match=message):
        settings.parse(arguments)


@pytest.mark.parametrize("package", settings.EMAIL_PACKAGES)
def test_email_without_its_packages(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """Where what e-mails need is not installed, one sentence says so and how to, for that format alone."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SettingsError, match=rf"needs {package}, .*pip install '\.\[email\]'"):
        settings.parse([*REQUIRED, "--input-format", "email"])

    assert settings.parse(REQUIRED).input_format == "json"


def test_topics_of_a_split() -> None:
    """Each urgency has a topic for each value and one for all else, and the dead letters stay together."""
    parsed = settings.parse([*SPLIT, "books, toys"])
    assert parsed.routed_topics == [
        f"comments.{urgency}{end}" for urgency in ("high", "medium", "low") for end in ("", ".books", ".toys")
    ]
    assert parsed.dead_letter_topic == "comments.dead-letter"


def test_help_lists_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    """--help names every flag, secrets not being flags, and ends at once."""
    with pytest.raises(SystemExit) as ended:
        settings.parse(["--help"])

    printed = capsys.readouterr().out
    assert ended.value.code == 0
    for name in settings.Settings.model_fields:
        assert (f"--{name.replace('_', '-')} " in printed) == (name not in SECRETS)


def test_table_of_settings_shows_variables_of_secrets() -> None:
    """The README's table has a row for each setting; a secret's has a variable and no flag."""
    rows = settings.markdown_table().splitlines()[2:]

    assert len(rows) == len(settings.Settings.model_fields)
    assert [row for row in rows if row.startswith("| no flag | `CONSUMER_SASL_PASSWORD` |  |")]
