"""What `tail` can be asked for, and what it shows of a message."""

import re
import time
from types import SimpleNamespace

import pytest
from wcwidth import width

from consumer.errors import SettingsError
from consumer.routing import parse_routes
from consumer.settings import Settings
from consumer.tail.routed import COLOURS, Routed, line, routed, wanted
from consumer.tail.settings import TailSettings, parse

SERVERS = ["--bootstrap-servers", "localhost:9092"]
ROUTES = parse_routes("high: 1,2; medium: 3; low: 4,5")
VALUE = b"""{"id": 7, "text": "Third broken charger.",
 "classification": {"urgency": "high", "label": "1", "confidence": 0.871234, "probabilities": {"1": 1}}}"""


def record(value: bytes | None) -> SimpleNamespace:
    """A record with this value."""
    return SimpleNamespace(value=value, timestamp=1_700_000_000_000, topic="comments.high")


def message(text: str = "Third broken charger.", urgency: str = "high", confidence: float = 0.87) -> Routed:
    """A labelled message."""
    return Routed(1_700_000_000_000, urgency, "1", confidence, text, b"{}")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--urgency", "hihg"], "--urgency: no route is called 'hihg', only high, medium, low;"),
        (["--urgency", "high,critical"], "no route is called 'critical'"),
        (["--min-confidence", "0.9", "--max-confidence", "0.1"], "nothing would be shown"),
        (["--min-confidence", "87"], "--min-confidence: input should be less than or equal to 1"),
        (["--min-confidence", "nan"], "--min-confidence: input should be"),
        (["--last", "3", "--from-beginning"], "--last and --from-beginning contradict each other"),
        (["--no-follow"], "--no-follow shows what is there: say how much"),
        (["--routes", "high"], "--routes: cannot read 'high'"),
        (["--bundle", "bundle"], "there is no setting --bundle"),
    ],
)
def test_wrong_setting_is_named(arguments: list[str], complaint: str) -> None:
    """What cannot be shown is refused, and said why."""
    with pytest.raises(SettingsError, match=re.escape(complaint)):
        parse([*SERVERS, *arguments])


def test_variables_are_those_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service's variables say where Kafka is and which topics it writes, and others are prefixed too."""
    monkeypatch.setenv("CONSUMER_BOOTSTRAP_SERVERS", "kafka:9092")
    monkeypatch.setenv("CONSUMER_OUTPUT_PREFIX", "mail.")
    monkeypatch.setenv("CONSUMER_ROUTES", "now: 1; later: 2")
    monkeypatch.setenv("CONSUMER_BUNDLE", "bundle")
    monkeypatch.setenv("CONSUMER_JSON", "true")
    monkeypatch.setenv("JSON", "not a boolean")

    settings = parse([])

    assert (settings.servers, settings.output_prefix) == (["kafka:9092"], "mail.")
    assert (settings.urgencies, settings.as_json) == (("now", "later"), True)


@pytest.mark.parametrize("name", ["output_prefix", "routes", "text_field"])
def test_settings_of_the_service_are_the_same(name: str) -> None:
    """What the service has too has its default, its words and its limits here."""
    ours, its = TailSettings.model_fields[name], Settings.model_fields[name]
    assert ours is not its
    assert (ours.default, ours.description, ours.metadata) == (its.default, its.description, its.metadata)


def test_labelled_message_is_read() -> None:
    """Urgency, label, confidence and text come from the value, whatever else is in it; the value stays."""
    assert routed(record(VALUE), "text") == Routed(
        1_700_000_000_000, "high", "1", 0.871234, "Third broken charger.", VALUE
    )


@pytest.mark.parametrize(
    ("field", "shown"), [("text", "Third broken charger."), ("body", "Third broken charger."), ("id", "")]
)
def test_text_is_found(field: str, shown: str) -> None:
    """The comment is in the field that the service reads, else under `text`, where it puts plain texts."""
    read = routed(record(VALUE), field)
    assert read is not None
    assert read.text == shown


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"\xff",
        b"plain",
        b"[]",
        b"7",
        b'{"text": "x"}',
        b'{"classification": "high"}',
        b'{"classification": {"urgency": "high", "label": "1"}}',
        b'{"classification": {"urgency": "high", "label": "1", "confidence": "sure"}}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_labelled_message_is_told_apart(value: bytes | None) -> None:
    """Whatever else someone writes to a routed topic is not taken for a labelled message."""
    assert routed(record(value), "text") is None


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", True),
        ("--urgency high", True),
        ("--urgency medium,low", False),
        ("--min-confidence 0.87", True),
        ("--min-confidence 0.88", False),
        ("--max-confidence 0.86", False),
        ("--grep CHARGER", True),
        ("--grep charge.*", False),
        ("--grep kettle", False),
        ("--urgency high --grep third --min-confidence 0.5", True),
    ],
)
def test_messages_are_filtered(arguments: str, expected: bool) -> None:
    """A message is shown if its urgency, its confidence and its text are all among those asked for."""
    assert wanted(message(), parse([*SERVERS, *arguments.split()])) == expected


def test_grep_knows_more_than_ascii() -> None:
    """Capitals do not matter in any script."""
    assert wanted(message("Die STRASSE ist laut"), parse([*SERVERS, "--grep", "straße"]))


def test_line_has_its_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line is local time, urgency, label, confidence and text, each in its column."""
    monkeypatch.setenv("TZ", "UTC-1")
    time.tzset()
    try:
        shown = [
            line(message(confidence=1.0), ROUTES, None, colours=False),
            line(message("Fine.", "medium", 0.4), ROUTES, None, colours=False),
        ]
    finally:
        monkeypatch.undo()
        time.tzset()

    assert shown == [
        "11-14 23:13:20 high   1 100% Third broken charger.",
        "11-14 23:13:20 medium 1  40% Fine.",
    ]


@pytest.mark.parametrize("urgency", ROUTES)
def test_urgency_alone_is_coloured(urgency: str) -> None:
    """In colour a line says the same, its urgency in the colour of its place among the routes."""
    plain = line(message(urgency=urgency), ROUTES, 60, colours=False)
    colour = COLOURS[list(ROUTES).index(urgency)]

    coloured = line(message(urgency=urgency), ROUTES, 60, colours=True)

    assert coloured == plain.replace(f"{urgency:<6}", f"\x1b[{colour}m{urgency:<6}\x1b[0m")


@pytest.mark.parametrize("colours", [True, False])
@pytest.mark.parametrize("text", ["word " * 99, "漢字" * 99, "\x1b[2J\r\n" * 99, "e" + "\u0301" * 9999])
@pytest.mark.parametrize("columns", [200, 80, 33, 10])
def test_line_fits_the_terminal(text: str, columns: int, colours: bool) -> None:
    """Whatever the text, a line takes one row, if the terminal has room for the columns before the text."""
    shown = line(message(text), ROUTES, columns, colours=colours)
    assert width(re.sub(r"\x1b\[[0-9;]*m", "", shown)) <= max(columns, len("11-14 23:13:20 medium …"))
    assert "\n" not in shown


@pytest.mark.parametrize("timestamp", [2**63 - 1, -(2**63), -1])
def test_any_timestamp_can_be_shown(timestamp: int) -> None:
    """A time millions of years away does not end the show."""
    shown = line(Routed(timestamp, "high", "1", 0.5, "x", b""), ROUTES, None, colours=False)
    assert shown.endswith(" high   1  50% x")
