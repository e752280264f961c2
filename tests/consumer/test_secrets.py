"""Passwords appear in nothing that the consumer prints, even when it fails."""

import subprocess
import sys
from pathlib import Path

import pytest

from consumer import settings

SECRET = "hunter2-that-is-printed-nowhere"
LOGIN = (
    *("--bundle", "bundle", "--bootstrap-servers", "127.0.0.1:1", "--log-level", "debug"),
    *("--security-protocol", "SASL_PLAINTEXT", "--sasl-username", "u"),
)

# What main() does, with a fault where it would run: first kafka-python prints what it likes, then we crash.
CRASH = """
import sys
from kafka import KafkaAdminClient
from consumer import clients, serve

def crash(settings, stop):
    arguments = clients.connection(settings) | {"bootstrap_timeout_ms": 100}
    try:
        KafkaAdminClient(**arguments)
    finally:
        raise RuntimeError(f"fault with {settings} and {settings!r}")

serve.run = crash
sys.exit(serve.main(sys.argv[1:]))
"""


def run(*command: str) -> tuple[int, str]:
    """A Python process's exit code and all that it prints."""
    done = subprocess.run(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.fixture(autouse=True)
def variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The secrets are there, as variables."""
    monkeypatch.setenv("CONSUMER_SASL_PASSWORD", SECRET)
    monkeypatch.setenv("CONSUMER_SSL_KEY_PASSWORD", SECRET)


def test_crash_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """A traceback that quotes all settings, --log-texts and kafka-python at debug level show no secret."""
    monkeypatch.delenv("CONSUMER_SSL_KEY_PASSWORD")

    code, printed = run("-c", CRASH, "--log-texts", *LOGIN)

    assert code == 1
    assert "RuntimeError: fault with" in printed
    assert "sasl_username='u'" in printed
    assert SECRET not in printed


@pytest.mark.parametrize(
    ("flags", "code", "shown"),
    [
        (("--help",), 0, "--sasl-password-file"),
        (LOGIN, 2, "CONSUMER_SSL_KEY_PASSWORD or its file is given"),
        ((*LOGIN, "--threads", "many"), 2, "--threads: input should be a valid integer"),
        ((*LOGIN, "--sasl-password", SECRET), 2, "--sasl-password is not a flag"),
        ((*LOGIN, f"--sasl-pasword={SECRET}"), 2, "there is no setting --sasl-pasword"),
        ((*LOGIN, "--sasl-pasword", SECRET), 2, "there is no setting --sasl-pasword"),
    ],
)
def test_refusals_and_help_show_no_secret(flags: tuple[str, ...], code: int, shown: str) -> None:
    """Neither --help nor a wrong setting, misspelt flags of a secret among them, show a secret."""
    ended, printed = run("-m", "consumer", *flags)

    assert ended == code
    assert shown in printed
    assert SECRET not in printed


def test_settings_hide_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither repr, str, a dump nor JSON of the settings shows a secret, from a variable or from a file."""
    monkeypatch.delenv("CONSUMER_SSL_KEY_PASSWORD")
    from_variable = settings.parse(list(LOGIN))
    monkeypatch.delenv("CONSUMER_SASL_PASSWORD")
    (tmp_path / "secret").write_text(SECRET)
    from_file = settings.parse([*LOGIN, "--sasl-password-file", str(tmp_path / "secret")])

    for parsed in (from_variable, from_file):
        assert "sasl_password=SecretStr('**********')" in repr(parsed)
        assert SECRET not in f"{parsed} {parsed!r} {parsed.model_dump()} {parsed.model_dump_json()}"
