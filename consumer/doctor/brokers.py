"""Brokers: can each be reached, is its certificate good, does it let us in, and is it new enough?"""

import socket
import ssl
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from kafka.errors import KafkaError
from kafka.protocol.broker_version_data import BrokerVersionData
from kafka.protocol.metadata import ApiVersionsRequest

from consumer import access, handshake
from consumer.connection import Connection
from consumer.doctor.finding import Finding, fail, failed, ok, together, warn
from consumer.errors import AccessDenied

# A certificate that ends sooner needs someone to look after it now.
LEAST_DAYS: Final = 14
# The first to commit offsets in a transaction that the group's membership fences.
OLDEST_KAFKA: Final = (2, 5)
AT_ONCE: Final = 16

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Visit:
    """What was found at a broker, and whether it lets us in."""

    address: Address
    finding: Finding
    let_in: bool


def visit(named: Sequence[tuple[str, Address]], settings: Connection) -> list[Visit]:
    """Go to some brokers at once, each with the name that it has in the report."""
    if not named:
        return []
    with ThreadPoolExecutor(min(AT_ONCE, len(named))) as threads:
        return list(threads.map(lambda one: _visit(one[0], one[1], settings), named))


def _visit(check: str, address: Address, settings: Connection) -> Visit:
    host, port = address
    try:
        with handshake.conversation(host, port, settings) as (ask, connected):
            offered = ask(ApiVersionsRequest(version=2)).api_keys
            seen = [ok(check, str(connected.getpeername()[0])), *_encryption(check, connected)]
    except AccessDenied as error:
        return Visit(address, failed(check, error), let_in=False)
    except (OSError, KafkaError) as error:
        return Visit(address, _unreachable(check, error, settings), let_in=False)
    if settings.logs_in:
        seen.append(ok(check, f"logged in as {access.principal(settings)}"))
    seen.append(_version(check, {api.api_key: (api.min_version, api.max_version) for api in offered}))
    return Visit(address, together(check, seen), let_in=True)


def _encryption(check: str, connected: socket.socket) -> list[Finding]:
    if not isinstance(connected, ssl.SSLSocket):
        return [ok(check, "not encrypted")]
    certificate = connected.getpeercert() or {}
    return [ok(check, str(connected.version())), lasting(check, str(certificate["notAfter"]))]


def lasting(check: str, not_after: str) -> Finding:
    """How long a certificate is still good, by its `notAfter` as Python's ssl gives it."""
    days = int((ssl.cert_time_to_seconds(not_after) - time.time()) // 86_400)
    found = f"certificate good for another {days:,} days"
    return ok(check, found) if days >= LEAST_DAYS else warn(check, found, "have the certificate renewed")


def _version(check: str, versions: dict[int, tuple[int, int]]) -> Finding:
    version = BrokerVersionData(api_versions=versions).broker_version
    found = f"speaks Kafka {'.'.join(map(str, version))}"
    if version < OLDEST_KAFKA:
        oldest = ".".join(map(str, OLDEST_KAFKA))
        return fail(check, found, f"the consumer needs {oldest} or newer: upgrade this broker")
    return ok(check, found)


def _unreachable(check: str, error: Exception, settings: Connection) -> Finding:
    said = handshake.reason(error, settings)
    if isinstance(error, socket.gaierror):
        return fail(check, f"the name does not resolve ({said})", "correct it, or the DNS")
    if isinstance(error, ConnectionRefusedError):
        return fail(check, "refuses connections", "start the broker, or correct host and port")
    if isinstance(error, TimeoutError):
        found = f"does not answer within {handshake.TIMEOUT_SECONDS:g} s"
        return fail(
            check, found, "look at the broker, at firewalls between, and whether host and port are right"
        )
    return fail(check, said, "look at the broker's log, and at its listeners")
