"""How to reach Kafka: what fits together, and where secrets come from."""

import ssl
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from consumer import clients, settings
from consumer.errors import SettingsError

SECRET = "hunter2-that-is-printed-nowhere"
LOGIN = ("--security-protocol", "SASL_SSL", "--sasl-username", "u")


def parse(*flags: str) -> settings.Settings:
    """The settings of a consumer with these flags."""
    return settings.parse(["--bundle", "bundle", "--bootstrap-servers", "kafka:9092", *flags])


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    """A directory with an authority, two certificates of it and their keys, one of them encrypted."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca"))
    for name in ("a", "b"):
        issued = ca.issue_cert(f"{name}.example")
        issued.cert_chain_pems[0].write_to_path(str(tmp_path / f"{name}.crt"))
        issued.private_key_pem.write_to_path(str(tmp_path / f"{name}.key"))
    key = serialization.load_pem_private_key((tmp_path / "b.key").read_bytes(), None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(SECRET.encode()),
    )
    (tmp_path / "b.key").write_bytes(encrypted)
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "secret").write_text(SECRET)
    return tmp_path


@pytest.mark.parametrize(
    ("content", "password"),
    [
        (SECRET, SECRET),
        (f"{SECRET}\n", SECRET),
        (f"{SECRET}\r\n", SECRET),
        (f" {SECRET}\n\n", f" {SECRET}\n"),
    ],
)
def test_secret_from_a_file(tmp_path: Path, content: str, password: str) -> None:
    """A password in a file is what stands there, without the newline that ends it, and no more."""
    file = tmp_path / "password"
    file.write_bytes(content.encode())

    parsed = parse(*LOGIN, "--sasl-password-file", str(file))

    assert clients.connection(parsed)["sasl_plain_password"] == password


def test_secret_from_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A password in the variable, or in the file that the variable with _FILE names, reaches the clients."""
    monkeypatch.setenv("CONSUMER_SASL_PASSWORD", SECRET)

    assert clients.connection(parse(*LOGIN))["sasl_plain_password"] == SECRET


def test_variables_name_files_too(monkeypatch: pytest.MonkeyPatch, pem: Path) -> None:
    """CONSUMER_…_FILE names the file of a secret, as the flag does."""
    monkeypatch.setenv("CONSUMER_SASL_PASSWORD_FILE", str(pem / "secret"))

    assert clients.connection(parse(*LOGIN))["sasl_plain_password"] == SECRET


def test_clients_get_what_tls_needs(monkeypatch: pytest.MonkeyPatch, pem: Path) -> None:
    """Every client gets the files, the key's password and whether to check the host name."""
    monkeypatch.setenv("CONSUMER_SSL_KEY_PASSWORD_FILE", str(pem / "secret"))

    parsed = parse(*mutual_tls(pem, "b", "b"), "--no-ssl-check-hostname")

    arguments = clients.connection(parsed)
    assert {name: value for name, value in arguments.items() if name.startswith("ssl_")} == {
        "ssl_check_hostname": False,
        "ssl_cafile": pem / "ca",
        "ssl_certfile": pem / "b.crt",
        "ssl_keyfile": pem / "b.key",
        "ssl_password": SECRET,
    }
    assert parsed.tls_context().verify_mode == ssl.CERT_REQUIRED


def test_plaintext_needs_nothing() -> None:
    """Without security settings a client gets the servers and nothing about TLS or logins."""
    arguments = clients.connection(parse("--bootstrap-servers", "a:1, [::1]:2"))

    assert arguments["bootstrap_servers"] == ["a:1", "[::1]:2"]
    assert not [name for name in arguments if name.startswith(("ssl", "sasl"))]


def mutual_tls(pem: Path, certificate: str, key: str) -> list[str]:
    """Flags for TLS with this certificate and this key."""
    return [
        *("--security-protocol", "SSL", "--ssl-ca-file", str(pem / "ca")),
        *("--ssl-certificate-file", str(pem / f"{certificate}.crt")),
        *("--ssl-key-file", str(pem / f"{key}.key")),
    ]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--bootstrap-servers a:1,b", "'b' is not HOST:PORT"),
        ("--bootstrap-servers a:x", "'a:x' is not HOST:PORT"),
        ("--security-protocol SASL_SSL", "SASL_SSL needs --sasl-username"),
        (
            "--security-protocol SASL_SSL --sasl-username u",
            "needs CONSUMER_SASL_PASSWORD or",
        ),
        ("--sasl-username u", "--sasl-username is given, but --security-protocol PLAINTEXT does not log in"),
        (
            "--security-protocol SSL --sasl-password-file {pem}/secret",
            "CONSUMER_SASL_PASSWORD or its file is given, but --security-protocol SSL does not log in",
        ),
        (
            "--ssl-ca-file {pem}/ca",
            "--ssl-ca-file is given, but .* PLAINTEXT does not encrypt",
        ),
        (
            "--security-protocol SSL --ssl-ca-file {pem}/none",
            "none cannot be read: No such file or directory",
        ),
        ("--security-protocol SSL --ssl-ca-file {pem}", "cannot be read: Is a directory"),
        ("--security-protocol SSL --ssl-ca-file {pem}/secret", "secret is no PEM"),
        ("--security-protocol SSL --ssl-certificate-file {pem}/a.crt", "need each other"),
        ("--security-protocol SSL --ssl-key-file {pem}/a.key", "need each other"),
        (
            "--security-protocol SSL --ssl-key-password-file {pem}/secret",
            "CONSUMER_SSL_KEY_PASSWORD or its file is given, but there is no --ssl-key-file",
        ),
        (
            "--security-protocol SSL --ssl-certificate-file {pem}/a.crt --ssl-key-file {pem}/none",
            "--ssl-key-file .*none cannot be read",
        ),
        (
            "--security-protocol SSL --ssl-certificate-file {pem}/a.crt --ssl-key-file {pem}/b.key"
            " --ssl-key-password-file {pem}/secret",
            "cannot be used together: .*key values mismatch",
        ),
        (
            "--security-protocol SSL --ssl-certificate-file {pem}/b.crt --ssl-key-file {pem}/b.key",
            "an encrypted key needs its password",
        ),
        (
            "--security-protocol SASL_SSL --sasl-username u --sasl-password-file {pem}/none",
            "--sasl-password-file cannot be read",
        ),
        ("--sasl-password-file {pem}/empty", "--sasl-password-file is empty"),
        ("--sasl-password-file {pem}/binary", "--sasl-password-file is not UTF-8"),
        ("--sasl-mechanism GSSAPI", "--sasl-mechanism: input should be 'SCRAM-SHA-512', 'SCRAM-SHA-256' or"),
    ],
)
def test_contradiction_is_refused(pem: Path, flags: str, message: str) -> None:
    """Settings that do not fit together, or name a file that cannot serve, are refused by their names."""
    with pytest.raises(SettingsError, match=message) as refused:
        parse(*flags.format(pem=pem).split())

    assert SECRET not in str(refused.value)


def test_secret_given_twice_is_refused(pem: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password in the variable and in a file is refused: nobody could tell which counts."""
    monkeypatch.setenv("CONSUMER_SASL_PASSWORD", "another")

    with pytest.raises(SettingsError, match="CONSUMER_SASL_PASSWORD and --sasl-password-file are both given"):
        parse(*LOGIN, "--sasl-password-file", str(pem / "secret"))


@pytest.mark.parametrize("flag", ["--sasl-password", "--ssl-key-password"])
@pytest.mark.parametrize("joined", [True, False])
def test_secret_as_a_flag_is_refused(flag: str, joined: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """A secret among the arguments is refused, with the way to give it, and is not repeated."""
    with pytest.raises(SettingsError, match=f"{flag} is not a flag.*give {flag}-file") as refused:
        parse(*LOGIN, *([f"{flag}={SECRET}"] if joined else [flag, SECRET]))

    assert SECRET not in str(refused.value) + "".join(capsys.readouterr())
