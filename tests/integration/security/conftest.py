"""A broker that asks who is there and grants nothing by itself, and consumers that knock at its doors."""

import datetime
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    KafkaAdminClient,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
    UserScramCredentialUpsertion,
)

from deploy.local.broker import HOST, Broker, free_port
from tests.conftest import comments
from tests.integration.conftest import Kafka, Message
from tests.integration.consumer.conftest import URGENCIES, Consumer

PASSWORD = "pa55-that-is-printed-nowhere"
DOORS = {"PASSWORD": "SASL_SSL", **dict.fromkeys(("CERTIFICATE", "EXPIRED", "EXPIRING", "MISNAMED"), "SSL")}
DAYS_LEFT = {"EXPIRED": -1, "EXPIRING": 5}
TOPICS = ("comments", *URGENCIES, "dead-letter")


@dataclass(frozen=True)
class Right:
    """One operation on one resource, or on all those whose names start with `name`."""

    operation: str
    kind: str
    name: str
    prefixed: bool = False


def least_rights(prefix: str) -> list[Right]:
    """What a consumer of these topics, in the group `<prefix>group`, cannot do without."""
    return [
        Right("READ", "TOPIC", f"{prefix}comments"),
        *(Right("WRITE", "TOPIC", f"{prefix}{name}") for name in TOPICS[1:]),
        Right("READ", "GROUP", f"{prefix}group"),
        Right("WRITE", "TRANSACTIONAL_ID", f"{prefix}group-", prefixed=True),
    ]


class SecuredKafka(Kafka):
    """A broker with an authorizer; whoever comes through its plain listener, as the tests do, may do all.

    `doors` are the other listeners: PASSWORD (SASL_SSL), CERTIFICATE (SSL, asks for a certificate), two that
    no client should trust, EXPIRED and MISNAMED, and EXPIRING, whose certificate ends soon.
    """

    def __init__(
        self, bootstrap_servers: str, doors: dict[str, str], directory: Path, ca: trustme.CA
    ) -> None:
        super().__init__(bootstrap_servers)
        self.doors = doors
        self.ca_file = directory / "ca.pem"
        self.password_file = directory / "password"
        self.password_file.write_text(f"{PASSWORD}\n")
        self._directory = directory
        self._ca = ca

    def with_password(self, user: str) -> list[str]:
        """The flags of a consumer that logs in as the user."""
        return [
            *("--bootstrap-servers", self.doors["PASSWORD"], "--security-protocol", "SASL_SSL"),
            *("--ssl-ca-file", str(self.ca_file), "--sasl-username", user),
            *("--sasl-password-file", str(self.password_file)),
        ]

    def with_certificate(self, certificate: Path, door: str = "CERTIFICATE") -> list[str]:
        """The flags of a consumer that shows the certificate, whose key lies beside it."""
        return [
            *("--bootstrap-servers", self.doors[door], "--security-protocol", "SSL"),
            *("--ssl-ca-file", str(self.ca_file), "--ssl-certificate-file", str(certificate)),
            *("--ssl-key-file", str(certificate.with_suffix(".key"))),
        ]

    def certificate(self, name: str, *, key_password: str = "", ca: trustme.CA | None = None) -> Path:
        """Issue a client's certificate, which makes its owner `User:CN=<name>`; its key lies beside it."""
        issued = (ca or self._ca).issue_cert(f"{name}.example", common_name=name)
        file = self._directory / f"{name}.pem"
        file.write_bytes(issued.cert_chain_pems[0].bytes())
        file.with_suffix(".key").write_bytes(_pkcs8(issued, key_password))
        return file

    def add_user(self, name: str, mechanism: str = "SCRAM-SHA-512") -> str:
        """Make a user with PASSWORD, and give its principal."""
        with self._admin() as admin:
            made = admin.alter_user_scram_credentials(
                [UserScramCredentialUpsertion(name, mechanism, PASSWORD)]
            )
        assert made == {name: None}
        return f"User:{name}"

    def grant(self, principal: str, rights: Iterable[Right]) -> None:
        """Give the principal these rights."""
        acls = [
            ACL(principal, "*", ACLOperation[right.operation], ACLPermissionType.ALLOW, _pattern(right))
            for right in rights
        ]
        with self._admin() as admin:
            assert admin.create_acls(acls)["failed"] == []

    def withdraw(self, principal: str, right: Right) -> None:
        """Take the right away again."""
        pattern = _pattern(right)
        resource = ResourcePatternFilter(pattern.resource_type, pattern.resource_name, pattern.pattern_type)
        withdrawn = ACLFilter(
            principal, "*", ACLOperation[right.operation], ACLPermissionType.ALLOW, resource
        )
        with self._admin() as admin:
            ((_, matching, _),) = admin.delete_acls([withdrawn])
        assert len(matching) == 1

    def fill(self, prefix: str, count: int = 60) -> None:
        """Make the topics and send so many comments, and a message that holds none."""
        self.create_topics(*(f"{prefix}{name}" for name in TOPICS))
        self.feed(prefix, count)

    def feed(self, prefix: str, count: int = 60) -> int:
        """Send so many comments, for every urgency, and a message that holds none; how many are sent."""
        texts = [Message(json.dumps({"text": text}).encode()) for text in comments(count)]
        self.produce(f"{prefix}comments", [*texts, Message(b"none")])
        return count + 1

    def _admin(self) -> KafkaAdminClient:
        return KafkaAdminClient(bootstrap_servers=self.bootstrap_servers)


def _pattern(right: Right) -> ResourcePattern:
    pattern = ACLResourcePatternType.PREFIXED if right.prefixed else ACLResourcePatternType.LITERAL
    return ResourcePattern(ResourceType[right.kind], right.name, pattern)


def _pkcs8(issued: trustme.LeafCert, password: str = "") -> bytes:
    """The key in the one form that Kafka reads, encrypted if there is a password."""
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
    encryption = (
        serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    )
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def _broker_settings(ports: dict[str, int], directory: Path) -> dict[str, str]:
    advertised = ",".join(f"{name}://{HOST}:{port}" for name, port in ports.items() if name != "CONTROLLER")
    protocols = {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT", **DOORS}
    settings = {
        "listeners": f"{advertised},CONTROLLER://{HOST}:{ports['CONTROLLER']}",
        "advertised.listeners": advertised,
        "listener.security.protocol.map": ",".join(":".join(pair) for pair in protocols.items()),
        "inter.broker.listener.name": "PLAINTEXT",
        "controller.quorum.bootstrap.servers": f"{HOST}:{ports['CONTROLLER']}",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "false",
        "super.users": "User:ANONYMOUS",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512,SCRAM-SHA-256,PLAIN",
        "listener.name.certificate.ssl.client.auth": "required",
        # What trustme adds to a name does not matter here.
        "ssl.principal.mapping.rules": r"RULE:^.*(CN=[^,]+).*$/$1/",
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(directory / "ca.pem"),
        "ssl.keystore.type": "PEM",
    }
    modules = {
        "scram-sha-512": "scram.ScramLoginModule required;",
        "scram-sha-256": "scram.ScramLoginModule required;",
        "plain": f'plain.PlainLoginModule required user_plain="{PASSWORD}";',
    }
    for mechanism, module in modules.items():
        login = f"org.apache.kafka.common.security.{module}"
        settings[f"listener.name.password.{mechanism}.sasl.jaas.config"] = login
    for door in DOORS:
        settings[f"listener.name.{door.lower()}.ssl.keystore.location"] = str(directory / f"{door}.pem")
    return settings


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    """A broker for the tests of this folder: each makes users and rights of its own."""
    directory = tmp_path_factory.mktemp("secured")
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(directory / "ca.pem"))
    now = datetime.datetime.now(datetime.UTC)
    for door in DOORS:
        issued = ca.issue_cert(
            "elsewhere.example" if door == "MISNAMED" else HOST,
            not_after=now + datetime.timedelta(days=DAYS_LEFT[door], hours=1) if door in DAYS_LEFT else None,
        )
        (directory / f"{door}.pem").write_bytes(_pkcs8(issued) + issued.cert_chain_pems[0].bytes())
    ports = {name: free_port() for name in ("PLAINTEXT", "CONTROLLER", *DOORS)}
    with Broker(ports["PLAINTEXT"], settings=_broker_settings(ports, directory)) as broker:
        doors = {door: f"{HOST}:{ports[door]}" for door in DOORS}
        yield SecuredKafka(broker.bootstrap_servers, doors, directory, ca)


Start = Callable[..., Consumer]


@pytest.fixture
def user(prefix: str) -> str:
    """A name that no other test uses."""
    return prefix.removesuffix(".")


@pytest.fixture
def start(secured: SecuredKafka, tiny_bundle: Path, prefix: str, tmp_path: Path) -> Iterator[Start]:
    """Start a consumer of this test's topics, which makes none; those still running at the end are killed."""
    started: list[Consumer] = []

    def start_one(*arguments: str) -> Consumer:
        log = tmp_path / f"consumer-{len(started)}.log"
        consumer = Consumer(secured, tiny_bundle, prefix, log, "--no-create-topics", *arguments)
        started.append(consumer)
        return consumer

    yield start_one
    for consumer in started:
        if consumer.process.poll() is None:
            consumer.kill()
