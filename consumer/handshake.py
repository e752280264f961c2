"""The first word with Kafka, in full: TLS, login, one request; and what was in the way.

kafka-python tries every failure again until its time is over, and then knows only that it timed out: a wrong
password, an expired certificate and a broker that is away look the same. Where the broker's answer and its
hanging up arrive together, it even drops the answer. So the consumer knocks itself before it starts a client.
"""

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import kafka.errors
from kafka.cluster import collect_hosts
from kafka.errors import KafkaConnectionError, KafkaError
from kafka.net.sasl import get_sasl_mechanism
from kafka.protocol.metadata import MetadataRequest
from kafka.protocol.parser import KafkaProtocol
from kafka.protocol.sasl import SaslAuthenticateRequest, SaslHandshakeRequest

from consumer import access, clients
from consumer.connection import Connection
from consumer.errors import AccessDenied

TIMEOUT_SECONDS = 5.0

# By OpenSSL's number for what is wrong with a certificate.
_OTHER_HOST = "connect by a name that it holds, or pass --no-ssl-check-hostname"
CERTIFICATE_ADVICE = {
    9: "compare the clocks of both machines",
    10: "have it renewed",
    62: _OTHER_HOST,
    64: _OTHER_HOST,
}

Ask = Callable[[Any], Any]


def check(settings: Connection) -> None:
    """Return once one of the bootstrap servers lets us in.

    Raises:
        AccessDenied: none does, and one says why trying again would not help.
        KafkaConnectionError: none does; the message says what each did. Retriable.
    """
    failures: list[str] = []
    denied: AccessDenied | None = None
    for host, port in servers(settings):
        try:
            with conversation(host, port, settings) as (ask, _):
                # Only now does a broker miss a login, or with TLS 1.3 a certificate.
                ask(MetadataRequest(version=7, topics=[]))
            return
        except AccessDenied as error:
            denied = denied or error
        except (OSError, KafkaError) as error:
            failures.append(f"{host}:{port}: {reason(error, settings)}")
    if denied:
        raise denied
    raise KafkaConnectionError("; ".join(failures))


def servers(settings: Connection) -> list[tuple[str, int]]:
    """The bootstrap servers, each as host and port."""
    return [(host, port) for host, port, _ in collect_hosts(settings.servers, randomize=False)]


@contextmanager
def conversation(host: str, port: int, settings: Connection) -> Iterator[tuple[Ask, socket.socket]]:
    """Connect to a broker, log in if that is wanted, and give a way to ask it, and the connection itself.

    Raises:
        AccessDenied: it does not let us in, and trying again would not help.
        OSError, KafkaError: it cannot be reached, or speaks something else.
    """
    with socket.create_connection((host, port), TIMEOUT_SECONDS) as plain:
        try:
            with _encrypted(plain, host, settings) as connected:
                ask = _asking(connected)
                if settings.logs_in:
                    _log_in(ask, f"{host}:{port}", settings)
                yield ask, connected
        except ssl.SSLError as error:
            raise _tls_denial(error, f"{host}:{port}") or error from None


def reason(error: Exception, settings: Connection) -> str:
    """What an OSError or a KafkaError says, with what may be behind it."""
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if isinstance(error, (ssl.SSLError, ConnectionResetError, KafkaError)):
        return f"{said}; does it speak {settings.security_protocol} there?"
    return said


def _encrypted(plain: socket.socket, host: str, settings: Connection) -> socket.socket:
    return settings.tls_context().wrap_socket(plain, server_hostname=host) if settings.encrypts else plain


def _asking(connected: socket.socket) -> Ask:
    protocol = KafkaProtocol(client_id="urgency-router")

    def ask(request: Any) -> Any:
        protocol.send_request(request)
        connected.sendall(protocol.send_bytes())
        while received := connected.recv(4096):
            if responses := protocol.receive_bytes(received):
                return responses[0][1]
        raise ConnectionResetError(None, f"hung up on {type(request).__name__}")

    return ask


def _log_in(ask: Ask, server: str, settings: Connection) -> None:
    handshake = ask(SaslHandshakeRequest(version=1, mechanism=settings.sasl_mechanism))
    if handshake.error_code:
        offered = ", ".join(handshake.mechanisms)
        raise AccessDenied(
            f"Kafka at {server} does not take --sasl-mechanism {settings.sasl_mechanism}; "
            + (f"choose one of {offered}" if offered else "it wants no login there: see --security-protocol")
        )
    mechanism = get_sasl_mechanism(settings.sasl_mechanism)(**clients.connection(settings))
    try:
        while not mechanism.is_done():
            answer = ask(SaslAuthenticateRequest(version=0, auth_bytes=mechanism.auth_bytes()))
            if answer.error_code:
                raise kafka.errors.for_code(answer.error_code)
            mechanism.receive(answer.auth_bytes)
    except kafka.errors.SaslAuthenticationFailedError:
        raise access.refused(settings, server) from None
    except ValueError:
        raise AccessDenied(
            f"Kafka at {server} could not show that it knows the password of {settings.sasl_username!r};"
            " make sure that this is your cluster"
        ) from None


def _tls_denial(error: ssl.SSLError, server: str) -> AccessDenied | None:
    """What only a person can mend, or None for what looks like no TLS at all."""
    if isinstance(error, ssl.SSLCertVerificationError):
        advice = CERTIFICATE_ADVICE.get(
            error.verify_code, "--ssl-ca-file must hold the authority that signed it"
        )
        reason = error.verify_message.rstrip(".")
        return AccessDenied(f"the certificate of Kafka at {server} is not to be trusted: {reason}; {advice}")
    alert = (error.reason or "").lower().replace("_", " ")
    if "alert" in alert and any(cause in alert for cause in ("certificate", "unknown ca", "handshake")):
        return AccessDenied(
            f"Kafka at {server} refuses our certificate, or that we show none ({alert}); give one that its"
            " authority signed, with --ssl-certificate-file and --ssl-key-file"
        )
    return None
