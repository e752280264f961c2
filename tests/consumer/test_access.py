"""What Kafka does not allow, in words."""

import pytest
from kafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    SaslAuthenticationFailedError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailedError,
)

from consumer import access, settings
from consumer.errors import AccessDenied


def parse(*flags: str) -> settings.Settings:
    """The settings of a consumer with these flags."""
    return settings.parse(["--bundle", "bundle", "--bootstrap-servers", "kafka:9092", *flags])


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TopicAuthorizationFailedError({"comments"}), "User:u has no right to READ topic comments; grant it"),
        (TopicAuthorizationFailedError("b"), "has no right to WRITE topic b;"),
        (TopicAuthorizationFailedError({"c", "b"}), "has no right to WRITE topic b, WRITE topic c;"),
        (TopicAuthorizationFailedError(), "has no right to WRITE topic unknown;"),
        (GroupAuthorizationFailedError("g"), "has no right to READ group urgency-router;"),
        (ClusterAuthorizationFailedError(), "has no right to IDEMPOTENT_WRITE the cluster;"),
        (
            TransactionalIdAuthorizationFailedError(),
            "has no right to WRITE transactional ids that start with urgency-router-;",
        ),
        (SaslAuthenticationFailedError(), "kafka:9092 refuses the user 'u' with this password"),
    ],
)
def test_what_kafka_denies_is_put_in_words(
    error: KafkaError, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each way in which kafka-python says no becomes AccessDenied, with what is missing and to whom."""
    monkeypatch.setenv("CONSUMER_SASL_PASSWORD", "secret")

    with (
        pytest.raises(AccessDenied) as denied,
        access.explained(parse("--security-protocol", "SASL_SSL", "--sasl-username", "u")),
    ):
        raise error

    assert words in str(denied.value)


def test_fixed_transactional_id_is_named() -> None:
    """With --transactional-id the missing right is on that very name, and who shows nothing is ANONYMOUS."""
    with (
        pytest.raises(AccessDenied, match="User:ANONYMOUS has no right to WRITE transactional id mine;"),
        access.explained(parse("--transactional-id", "mine")),
    ):
        raise TransactionalIdAuthorizationFailedError
