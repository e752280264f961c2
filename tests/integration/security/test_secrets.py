"""Passwords and keys appear in nothing that the consumer logs or serves, whatever happens."""

from pathlib import Path

import pytest

from tests.integration.security.conftest import PASSWORD, SecuredKafka, Start, least_rights

DEBUG = ("--log-level", "debug")


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "PLAIN"])
def test_password_of_a_good_run(
    secured: SecuredKafka, start: Start, prefix: str, user: str, mechanism: str
) -> None:
    """A run that labels comments shows the password neither in its log nor in /metrics."""
    secured.fill(prefix)
    user = "plain" if mechanism == "PLAIN" else user
    principal = f"User:{user}" if mechanism == "PLAIN" else secured.add_user(user)
    secured.grant(principal, least_rights(prefix))

    consumer = start(*DEBUG, *secured.with_password(user), "--sasl-mechanism", mechanism)
    consumer.wait_ready()
    consumer.wait_until(lambda: consumer.metric("urgency_router_messages_labelled_total") > 0, "publishing")
    page = consumer.metrics_page()
    assert consumer.stop() == 0

    shown = page + "\n".join(consumer.raw_log())
    assert f"{prefix}comments" in shown
    assert PASSWORD not in shown


def test_password_that_is_refused(secured: SecuredKafka, start: Start, user: str, tmp_path: Path) -> None:
    """A wrong password is not repeated either: it may be that of another service."""
    file = tmp_path / "password"
    file.write_text("an0ther-password")
    secured.add_user(user)

    consumer = start(*DEBUG, *secured.with_password(user), "--sasl-password-file", str(file))

    assert consumer.wait() == 8
    assert "refuses the user" in consumer.log_lines()[-1]
    assert "an0ther-password" not in "\n".join(consumer.raw_log())


def test_key_and_its_password(
    secured: SecuredKafka, start: Start, prefix: str, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run with mutual TLS shows neither the key's password nor a line of the key, right or wrong."""
    secured.fill(prefix)
    secured.grant(f"User:CN={user}", least_rights(prefix))
    certificate = secured.certificate(user, key_password="k3y-password")
    monkeypatch.setenv("CONSUMER_SSL_KEY_PASSWORD", "k3y-password")
    good = start(*DEBUG, "--exit-at-end", *secured.with_certificate(certificate))
    assert good.wait() == 0
    monkeypatch.setenv("CONSUMER_SSL_KEY_PASSWORD", "n0t-the-password")
    wrong = start(*DEBUG, *secured.with_certificate(certificate))
    assert wrong.wait() == 2

    shown = "\n".join([*good.raw_log(), *wrong.raw_log()])
    key = certificate.with_suffix(".key").read_text().splitlines()[1:-1]
    assert "cannot be used together" in shown
    assert not [secret for secret in ("k3y-password", "n0t-the-password", *key) if secret in shown]
