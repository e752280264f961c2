"""Our own certificate, which brokers want to see: is it still good, and for how long?"""

import contextlib
import ssl
from collections.abc import Iterator
from pathlib import Path

from consumer.connection import Connection
from consumer.doctor.brokers import lasting
from consumer.doctor.finding import Finding, fail

CHECK = "our certificate"
# A handshake takes a client two steps and a server two.
STEPS = 4


def check(settings: Connection) -> Iterator[Finding]:
    """Look at the certificate that the settings name, if they name one."""
    if settings.ssl_certificate_file is None:
        return
    try:
        yield lasting(CHECK, _not_after(settings.ssl_certificate_file, settings))
    except ssl.SSLCertVerificationError as error:
        yield fail(CHECK, f"{settings.ssl_certificate_file}: {error.verify_message}", "have it renewed")


def _not_after(file: Path, settings: Connection) -> str:
    """When the certificate ends: Python's ssl tells that of a peer alone, so it is shown to ourselves.

    Raises:
        SSLCertVerificationError: it is not good now.
    """
    shows = settings.tls_context()
    shows.check_hostname = False
    shows.verify_mode = ssl.CERT_NONE
    looks = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    looks.load_cert_chain(file, settings.ssl_key_file, _password(settings))
    looks.load_verify_locations(file)
    looks.verify_mode = ssl.CERT_REQUIRED
    looks.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        shows.wrap_bio(back, there, server_side=False),
        looks.wrap_bio(there, back, server_side=True),
    ]
    for step in range(STEPS):
        with contextlib.suppress(ssl.SSLWantReadError):
            sides[step % 2].do_handshake()
    seen = sides[1].getpeercert()
    assert seen
    return str(seen["notAfter"])


def _password(settings: Connection) -> str:
    return settings.ssl_key_password.get_secret_value() if settings.ssl_key_password else ""
