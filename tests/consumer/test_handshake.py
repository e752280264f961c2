"""The first word with Kafka, where a real broker does not say what is needed here."""

import pytest
from kafka.protocol.sasl import SaslAuthenticateResponse, SaslHandshakeResponse

from consumer import handshake, settings
from consumer.errors import AccessDenied


def test_impostor_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """SCRAM proves both sides: a broker that takes any password without knowing it is refused."""
    monkeypatch.setenv("CONSUMER_SASL_PASSWORD", "secret")
    flags = ["--bundle", "bundle", "--bootstrap-servers", "kafka:9092", "--security-protocol", "SASL_SSL"]
    parsed = settings.parse([*flags, "--sasl-username", "u"])
    nonces: list[str] = []

    def impostor(request: object) -> object:
        if type(request).__name__ == "SaslHandshakeRequest":
            return SaslHandshakeResponse(error_code=0, mechanisms=["SCRAM-SHA-512"])
        nonces.append(request.auth_bytes.decode().partition("r=")[2])  # type: ignore[attr-defined]
        first = f"r={nonces[0]}x,s=c2FsdA==,i=4096"
        said = first if len(nonces) == 1 else "v=bm90IHRoZSBzaWduYXR1cmU="
        return SaslAuthenticateResponse(error_code=0, auth_bytes=said.encode())

    with pytest.raises(AccessDenied, match=r"kafka:9092 could not show that it knows the password of 'u'"):
        handshake._log_in(impostor, "kafka:9092", parsed)
