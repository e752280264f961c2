"""What is asked of Kafka once a broker lets us in."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from kafka import KafkaAdminClient

from consumer import access, clients
from consumer.doctor.brokers import Address
from consumer.settings import Settings

REQUEST_TIMEOUT_MS = 10_000
TO_SEE = "to have it checked "


@dataclass
class Kafka:
    """The cluster: who asks, over which connections."""

    settings: Settings
    admin: KafkaAdminClient
    let_in: list[Address]

    @cached_property
    def cluster(self) -> dict[str, Any]:
        """Its id, its brokers and its controller.

        Raises:
            KafkaError: Kafka does not answer.
        """
        described: dict[str, Any] = self.admin.describe_cluster()
        return described

    def grant(self, operation: str, resource: str, why: str = "") -> str:
        """The advice to grant a right, as a command.

        Args:
            operation: what is to be allowed, as `kafka-acls.sh` spells it.
            resource: on what, as its flags.
            why: what for, where the service can do without.
        """
        principal = access.principal(self.settings)
        who = principal if principal.startswith("User:") else "'User:CN=…'"
        host, port = self.let_in[0]
        return (
            f"{why}grant it: kafka-acls.sh --bootstrap-server {host}:{port} --command-config admin.properties"
            f" --add --allow-principal {who} --operation {operation} {resource}"
        )


@contextmanager
def connected(settings: Settings, let_in: list[Address]) -> Iterator[Kafka]:
    """Connect through the brokers that let us in.

    Raises:
        KafkaError: none of them does any more.
    """
    arguments = clients.connection(settings) | {
        "bootstrap_servers": [f"{host}:{port}" for host, port in let_in]
    }
    admin = KafkaAdminClient(request_timeout_ms=REQUEST_TIMEOUT_MS, **arguments)
    try:
        yield Kafka(settings, admin, let_in)
    finally:
        admin.close()
