"""What Kafka grants, in words: which right on what is missing, and to whom."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from kafka.errors import (
    AuthorizationError,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    SaslAuthenticationFailedError,
    TopicAuthorizationFailedError,
)

from consumer.connection import Connection
from consumer.errors import AccessDenied
from consumer.settings import Settings


@contextmanager
def explained(settings: Settings) -> Iterator[None]:
    """Turn Kafka's word that it does not let us in, or not do something, into what is missing.

    Raises:
        AccessDenied: in place of each such error of kafka-python.
    """
    try:
        yield
    except AuthorizationError as error:
        raise lacking(settings, _rights(error, settings)) from error
    except SaslAuthenticationFailedError as error:
        raise refused(settings, settings.bootstrap_servers) from error


def lacking(settings: Connection, rights: Iterable[str]) -> AccessDenied:
    """The error for rights that are missing, each as 'READ topic comments'."""
    return AccessDenied(
        f"{principal(settings)} has no right to {', '.join(rights)}; grant it (README.md, Security)"
    )


def refused(settings: Connection, server: str) -> AccessDenied:
    """The error for a user whom a broker does not know, or not with this password."""
    return AccessDenied(
        f"Kafka at {server} refuses the user {settings.sasl_username!r} with this password"
        f" ({settings.sasl_mechanism}); correct --sasl-username, the password, or --sasl-mechanism"
    )


def topics_of(error: TopicAuthorizationFailedError) -> list[str]:
    """The topics that an error is about, which kafka-python gives as a set, as one name, or not at all."""
    given = error.args[0] if error.args else "unknown"
    return sorted({given} if isinstance(given, str) else given)


def principal(settings: Connection) -> str:
    """Who we are to Kafka, as far as that can be told from here."""
    if settings.logs_in:
        return f"User:{settings.sasl_username}"
    if settings.ssl_certificate_file:
        return f"the owner of {settings.ssl_certificate_file}"
    return "User:ANONYMOUS"


def _rights(error: AuthorizationError, settings: Settings) -> list[str]:
    if isinstance(error, TopicAuthorizationFailedError):
        names = topics_of(error)
        return [f"{'READ' if name == settings.input_topic else 'WRITE'} topic {name}" for name in names]
    if isinstance(error, GroupAuthorizationFailedError):
        return [f"READ group {settings.group_id}"]
    if isinstance(error, ClusterAuthorizationFailedError):
        return ["IDEMPOTENT_WRITE the cluster"]
    if settings.transactional_id:
        return [f"WRITE transactional id {settings.transactional_id}"]
    return [f"WRITE transactional ids that start with {settings.group_id}-"]
