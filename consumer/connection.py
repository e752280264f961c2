"""The settings that say how to reach Kafka and how to prove who we are, and what they must fit together."""

import argparse
import ssl
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, CliSettingsSource, CliSuppress, SettingsConfigDict
from pydantic_settings import SettingsError as PydanticSettingsError

from consumer.errors import SettingsError

PREFIX = "CONSUMER_"

# Each is a variable, or the file that the setting with `_file` behind its name gives.
SECRETS = ("sasl_password", "ssl_key_password")


def setting(default: Any, text: str, *, unit: str | None = None, **limits: Any) -> Any:
    """A setting's default, and the text that `--help` and the README's table show."""
    return Field(default, description=f"{text} [{unit}]" if unit else text, **limits)


def flag(name: str) -> str:
    """A setting's name on the command line."""
    return "--" + name.replace("_", "-")


def variable(name: str) -> str:
    """A setting's name in the environment."""
    return PREFIX + name.upper()


class Connection(BaseSettings):
    """What every client needs to reach Kafka."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_prefix_target="all",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
        frozen=True,
        extra="forbid",
    )

    bootstrap_servers: str = Field(description="brokers to ask first, HOST:PORT, several with commas")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = setting(
        "PLAINTEXT", "SSL encrypts, SASL logs in, SASL_SSL does both; without SSL anyone between can read all"
    )
    sasl_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = setting(
        "SCRAM-SHA-512", "how to log in; SCRAM never sends the password itself"
    )
    sasl_username: str = setting("", "who logs in")
    sasl_password: CliSuppress[SecretStr | None] = setting(
        None, "the password; no flag, since other users of a machine can read those"
    )
    sasl_password_file: Path | None = setting(
        None, "file with it, in place of CONSUMER_SASL_PASSWORD; one newline at its end is left out"
    )
    ssl_ca_file: Path | None = setting(
        None, "PEM of the authorities that may sign the brokers' certificates; empty takes the system's"
    )
    ssl_certificate_file: Path | None = setting(
        None, "PEM of the certificate to show where brokers ask for one (mutual TLS)"
    )
    ssl_key_file: Path | None = setting(None, "PEM of that certificate's key; the same file can hold both")
    ssl_key_password: CliSuppress[SecretStr | None] = setting(
        None, "the password of an encrypted key; no flag, for the same reason"
    )
    ssl_key_password_file: Path | None = setting(
        None, "file with it, in place of CONSUMER_SSL_KEY_PASSWORD; one newline at its end is left out"
    )
    ssl_check_hostname: bool = setting(
        True, "refuse a broker whose certificate names another host; without it any of the CA's will do"
    )

    @property
    def servers(self) -> list[str]:
        """The brokers to ask first, each as HOST:PORT."""
        return [server.strip() for server in self.bootstrap_servers.split(",")]

    @property
    def logs_in(self) -> bool:
        """Whether Kafka wants a user and a password."""
        return self.security_protocol.startswith("SASL")

    @property
    def encrypts(self) -> bool:
        """Whether the connections are TLS."""
        return self.security_protocol.endswith("SSL")

    def complete(self) -> Self:
        """Read the secrets that are in files, and check that everything fits together.

        Raises:
            SettingsError: settings contradict each other, or a file cannot be used; no secret is named.
        """
        secrets = ((name, getattr(self, name), getattr(self, f"{name}_file")) for name in SECRETS)
        completed = self.model_copy(update={name: _secret(name, *given) for name, *given in secrets})
        completed._check()
        return completed

    def tls_context(self) -> ssl.SSLContext:
        """What TLS checks and shows, read from the files anew.

        Raises:
            SettingsError: a file is missing, or holds something else; or the key's password is wrong.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.check_hostname = self.ssl_check_hostname
        try:
            if self.ssl_ca_file:
                _require("ssl_ca_file", self.ssl_ca_file)
                context.load_verify_locations(self.ssl_ca_file)
            else:
                context.load_default_certs()
        except ssl.SSLError as error:
            raise SettingsError(f"--ssl-ca-file {self.ssl_ca_file} is no PEM: {error}") from None
        if self.ssl_certificate_file and self.ssl_key_file:
            self._load_certificate(context, self.ssl_certificate_file, self.ssl_key_file)
        return context

    def _load_certificate(self, context: ssl.SSLContext, certificate_file: Path, key_file: Path) -> None:
        _require("ssl_certificate_file", certificate_file)
        _require("ssl_key_file", key_file)
        # Without a password OpenSSL would ask for one on the terminal.
        password = self.ssl_key_password.get_secret_value() if self.ssl_key_password else ""
        try:
            context.load_cert_chain(certificate_file, key_file, password)
        except (ssl.SSLError, ValueError) as error:
            raise SettingsError(
                f"--ssl-certificate-file {certificate_file} and --ssl-key-file {key_file} cannot be used"
                f" together: {error}; both must be PEM, the key that of the certificate, and an encrypted key"
                " needs its password"
            ) from None

    def _check(self) -> None:
        for server in self.servers:
            host, _, port = server.rpartition(":")
            if not host or not port.isdecimal():
                raise SettingsError(f"--bootstrap-servers: {server!r} is not HOST:PORT")
        protocol = f"--security-protocol {self.security_protocol}"
        if self.logs_in:
            if not self.sasl_username:
                raise SettingsError(f"{protocol} needs --sasl-username")
            if not self.sasl_password:
                raise SettingsError(f"{protocol} needs {variable('sasl_password')} or --sasl-password-file")
        else:
            self._refuse(f"but {protocol} does not log in; SASL_SSL does", "sasl_username", "sasl_password")
        if not self.encrypts:
            self._refuse(
                f"but {protocol} does not encrypt; SSL and SASL_SSL do",
                *("ssl_ca_file", "ssl_certificate_file", "ssl_key_file", "ssl_key_password"),
            )
            return
        if bool(self.ssl_certificate_file) != bool(self.ssl_key_file):
            raise SettingsError("--ssl-certificate-file and --ssl-key-file need each other")
        if not self.ssl_key_file:
            self._refuse("but there is no --ssl-key-file", "ssl_key_password")
        self.tls_context()

    def _refuse(self, reason: str, *names: str) -> None:
        for name in names:
            if getattr(self, name):
                given = f"{variable(name)} or its file" if name in SECRETS else flag(name)
                raise SettingsError(f"{given} is given, {reason}")


Kind = TypeVar("Kind", bound=Connection)


def read(kind: type[Kind], arguments: list[str]) -> Kind:
    """Read flags and environment; `--help` prints and exits.

    Raises:
        SettingsError: a setting is missing or wrong; the message names each.
    """
    _check_flags(kind, arguments)
    try:
        return kind(_cli_parse_args=arguments).complete()
    except ValidationError as error:
        problems = ((flag(str(e["loc"][0])), e["msg"]) for e in error.errors(include_url=False))
        told = "; ".join(f"{given}: {message[0].lower()}{message[1:]}" for given, message in problems)
        raise SettingsError(f"{told}; see --help") from None
    except PydanticSettingsError as error:
        raise SettingsError(f"{error}; see --help") from None


def parser(kind: type[Connection]) -> argparse.ArgumentParser:
    """The flags as argparse has them, for whoever wants to know of them without reading any."""
    made: argparse.ArgumentParser = CliSettingsSource(kind).root_parser
    return made


def _check_flags(kind: type[Connection], arguments: list[str]) -> None:
    """Refuse flags that do not exist, without repeating their values: one may be a password."""
    fields = {field.alias or name: field for name, field in kind.model_fields.items()}
    named = {flag(name): name for name in fields}
    switches = {flag(f"no_{name}") for name in fields if fields[name].annotation is bool}
    for given in (argument.partition("=")[0] for argument in arguments):
        if named.get(given) in SECRETS:
            raise SettingsError(
                f"{given} is not a flag, since other users of this machine could read it in the list of"
                f" processes; put it in a file and give {given}-file, or set {variable(named[given])}"
            )
        if given.startswith("--") and given not in {*named, *switches, "--help"}:
            raise SettingsError(f"there is no setting {given}; see --help")


def _secret(name: str, value: SecretStr | None, file: Path | None) -> SecretStr | None:
    if file is None:
        return value if value and value.get_secret_value() else None
    if value is not None:
        raise SettingsError(f"{variable(name)} and {flag(name)}-file are both given: keep one")
    # The file is not named: someone may have put the secret itself there.
    given = f"{flag(name)}-file"
    try:
        text = file.read_bytes().decode().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise SettingsError(f"{given} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{given} is not UTF-8") from None
    if not text:
        raise SettingsError(f"{given} is empty")
    return SecretStr(text)


def _require(name: str, file: Path) -> None:
    """Say which file cannot be read, which OpenSSL does not."""
    try:
        file.open("rb").close()
    except OSError as error:
        raise SettingsError(f"{flag(name)} {file} cannot be read: {error.strerror}") from None
