"""Who gets in, and with which words the consumer ends or waits when it does not."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from kafka.admin import KafkaAdminClient

from consumer import clients, handshake, settings
from tests.integration.consumer.conftest import Consumer
from tests.integration.security.conftest import SecuredKafka, Start


def other_password(path: Path) -> str:
    """A file with a password that nobody has."""
    path.write_text("wrong")
    return str(path)


def other_authority(path: Path) -> str:
    """A file with an authority that has signed nothing."""
    trustme.CA().cert_pem.write_to_path(str(path))
    return str(path)


def complaints(consumer: Consumer) -> list[str]:
    """The lines of more than informative level."""
    lines = [json.loads(line) for line in consumer.raw_log()]
    return [line["message"] for line in lines if line["level"] != "info"]


Flags = Callable[[SecuredKafka, str, Path], list[str]]

REFUSED: dict[str, tuple[Flags, str]] = {
    "wrong password": (
        lambda kafka, user, tmp: [
            *kafka.with_password(user),
            *("--sasl-password-file", other_password(tmp / "wrong")),
        ],
        "refuses the user '{user}' with this password (SCRAM-SHA-512); correct",
    ),
    "unknown user": (
        lambda kafka, _, __: kafka.with_password("nobody"),
        "refuses the user 'nobody' with this password (SCRAM-SHA-512); correct",
    ),
    "mechanism without a password": (
        lambda kafka, user, _: [*kafka.with_password(user), "--sasl-mechanism", "SCRAM-SHA-256"],
        "refuses the user '{user}' with this password (SCRAM-SHA-256); correct",
    ),
    "login where none is wanted": (
        lambda kafka, user, _: [
            *kafka.with_certificate(kafka.certificate(user)),
            *("--security-protocol", "SASL_SSL", "--sasl-username", user),
            *("--sasl-password-file", str(kafka.password_file)),
        ],
        "does not take --sasl-mechanism SCRAM-SHA-512; it wants no login there: see --security-protocol",
    ),
    "unknown authority": (
        lambda kafka, user, tmp: [*kafka.with_password(user), "--ssl-ca-file", other_authority(tmp / "ca")],
        "is not to be trusted: unable to get local issuer certificate; --ssl-ca-file must hold the authority",
    ),
    "expired certificate": (
        lambda kafka, user, _: kafka.with_certificate(kafka.certificate(user), "EXPIRED"),
        "is not to be trusted: certificate has expired; have it renewed",
    ),
    "certificate of another host": (
        lambda kafka, user, _: kafka.with_certificate(kafka.certificate(user), "MISNAMED"),
        "certificate is not valid for '127.0.0.1'; connect by a name that it holds",
    ),
    "missing client certificate": (
        lambda kafka, user, _: kafka.with_certificate(kafka.certificate(user))[:-4],
        "refuses our certificate, or that we show none (tlsv13 alert certificate required); give one",
    ),
    "client certificate of another authority": (
        lambda kafka, user, _: kafka.with_certificate(kafka.certificate(user, ca=trustme.CA())),
        "refuses our certificate, or that we show none (",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusal_ends_with_one_line(
    secured: SecuredKafka, start: Start, user: str, tmp_path: Path, case: str
) -> None:
    """What only a person can mend ends it with code 8 and one line, which says what was refused."""
    flags, words = REFUSED[case]
    secured.add_user(user)

    consumer = start(*flags(secured, user, tmp_path))

    assert consumer.wait() == 8
    (complaint,) = complaints(consumer)
    assert words.format(user=user) in complaint


@pytest.mark.parametrize(
    ("protocol", "door", "saw"),
    [
        ("PLAINTEXT", "PASSWORD", "Invalid frame length"),
        ("SSL", "PLAIN", "EOF"),  # in the words of Python's version
        ("SSL", "PASSWORD", "hung up on MetadataRequest"),
    ],
)
def test_another_protocol_is_waited_for_with_what_was_seen(
    secured: SecuredKafka, start: Start, protocol: str, door: str, saw: str
) -> None:
    """A listener of another protocol looks like a broker in trouble: it waits, and says what it saw."""
    address = secured.doors.get(door, secured.bootstrap_servers)
    encrypted = ["--ssl-ca-file", str(secured.ca_file)] if protocol == "SSL" else []

    consumer = start("--bootstrap-servers", address, "--security-protocol", protocol, *encrypted)

    consumer.wait_until(lambda: bool(complaints(consumer)), "waiting")
    assert f"does it speak {protocol} there?" in complaints(consumer)[0]
    assert saw in complaints(consumer)[0]
    assert consumer.stop() == 0


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"])
def test_each_mechanism_logs_in(secured: SecuredKafka, user: str, mechanism: str) -> None:
    """With each mechanism both the first word and kafka-python's clients are let in."""
    if mechanism == "PLAIN":
        user = "plain"
    else:
        secured.add_user(user, mechanism)
    parsed = parse([*secured.with_password(user), "--sasl-mechanism", mechanism])

    handshake.check(parsed)

    with KafkaAdminClient(**clients.connection(parsed)) as admin:
        assert admin.describe_cluster()["brokers"]


def test_host_names_can_go_unchecked(secured: SecuredKafka, user: str) -> None:
    """With --no-ssl-check-hostname a certificate for another host is taken, by kafka-python too."""
    certificate = secured.certificate(user)
    parsed = parse([*secured.with_certificate(certificate, "MISNAMED"), "--no-ssl-check-hostname"])

    handshake.check(parsed)

    with KafkaAdminClient(**clients.connection(parsed)) as admin:
        assert admin.describe_cluster()["brokers"]


def test_one_server_that_lets_us_in_is_enough(secured: SecuredKafka, user: str) -> None:
    """Servers that are away, or have an expired certificate, do not matter while another lets us in."""
    certificate = secured.certificate(user)
    servers = ("127.0.0.1:1", secured.doors["EXPIRED"], secured.doors["CERTIFICATE"])
    flags = [*secured.with_certificate(certificate), "--bootstrap-servers", ", ".join(servers)]

    handshake.check(parse(flags))


def parse(flags: list[str]) -> settings.Settings:
    """The settings of a consumer with these flags."""
    return settings.parse(["--bundle", "bundle", *flags])
