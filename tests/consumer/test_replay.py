"""What a replay is told, and what it refuses."""

import re
from datetime import UTC, datetime

import pytest

from consumer import replay
from consumer.errors import SettingsError

ARGUMENTS = (
    *("--bundle", "bundle", "--bootstrap-servers", "localhost:9092", "--output-prefix", "comments.again."),
    *("--from", "2026-11-01T00:00Z", "--to", "2026-11-02T01:00+01:00"),
)


def test_times_are_milliseconds() -> None:
    """Both times are taken with their zone, as milliseconds since 1970."""
    _, since, until = replay._parse(list(ARGUMENTS))
    assert since == datetime(2026, 11, 1, tzinfo=UTC).timestamp() * 1000
    assert until == datetime(2026, 11, 2, tzinfo=UTC).timestamp() * 1000


def test_the_group_is_its_own() -> None:
    """The same command has the same group, another stretch or prefix another."""
    groups = [
        replay._parse([*ARGUMENTS, *more])[0].group_id
        for more in ((), (), ("--to", "2026-11-03T00:00Z"), ("--output-prefix", "x."))
    ]
    assert groups[0] == groups[1]
    assert len(set(groups)) == 3
    assert replay._parse([*ARGUMENTS, "--group-id", "mine"])[0].group_id == "mine"


def test_the_running_consumers_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the running consumer's variables those do not count that would make the replay that consumer."""
    variables = {
        "CONSUMER_GROUP_ID": "live",
        "CONSUMER_TRANSACTIONAL_ID": "live-0",
        "CONSUMER_METRICS_PORT": "9108",
        "CONSUMER_WORKERS": "4",
        "CONSUMER_BUNDLE_CHECK_SECONDS": "5",
        "CONSUMER_TRACES": "true",
        "CONSUMER_INPUT_TOPIC": "mails",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    parsed, _, _ = replay._parse(list(ARGUMENTS))
    assert parsed.group_id != "live"
    assert (parsed.transactional_id, parsed.metrics_port, parsed.workers) == ("", 0, 1)
    assert parsed.bundle_check_seconds == 0
    assert not parsed.traces
    assert parsed.input_topic == "mails"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--output-prefix", "live."), "--output-prefix: 'live.' is the running consumer's"),
        (("--group-id", "urgency-router"), "--group-id: 'urgency-router' is the running consumer's"),
        (("--to", "2999-01-01T00:00Z"), "--to: that time is not over"),
        (("--from", "2999-01-01T00:00Z"), "--from must be before --to"),
        (("--from", "yesterday"), "--from: input should be a valid datetime"),
        (("--from", "2026-11-01T00:00"), "--from: input should have timezone info"),
        (("--workers", "2"), "--workers: input should be less than or equal to 1"),
        (("--ouput-prefix", "x"), "there is no setting --ouput-prefix"),
    ],
)
def test_what_is_refused(monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, str], said: str) -> None:
    """What would disturb the running consumer, or makes no sense, is refused with one sentence."""
    monkeypatch.setenv("CONSUMER_OUTPUT_PREFIX", "live.")
    with pytest.raises(SettingsError, match=re.escape(said)):
        replay._parse([*ARGUMENTS, *arguments])


def test_the_prefix_is_not_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --output-prefix there is no replay, whatever the running consumer's variable says."""
    monkeypatch.setenv("CONSUMER_OUTPUT_PREFIX", "live.")
    with pytest.raises(SettingsError, match="--output-prefix: field required"):
        replay._parse([a for a in ARGUMENTS if a not in ("--output-prefix", "comments.again.")])
