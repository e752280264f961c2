"""Three real brokers that are one cluster: every partition on all three, two of them enough to go on."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from kafka.admin import KafkaAdminClient

from deploy.local.broker import HOST, Broker, free_port, new_id

NODES = (1, 2, 3)
# So that the coordinators of groups and of transactions are spread over the brokers.
COORDINATOR_PARTITIONS = 6
# A broker that was killed reads its last segments again, whole, before it answers: 1 GB by default.
SEGMENT_BYTES = 4 * 1024 * 1024
PREFERRED = 0  # the broker that a partition's list of replicas names first
ANSWER_MS = 10_000

SETTINGS: Mapping[str, str] = {
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "PLAINTEXT",
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "offsets.topic.num.partitions": str(COORDINATOR_PARTITIONS),
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "transaction.state.log.num.partitions": str(COORDINATOR_PARTITIONS),
    "log.segment.bytes": str(SEGMENT_BYTES),
    "offsets.topic.segment.bytes": str(SEGMENT_BYTES),
    "transaction.state.log.segment.bytes": str(SEGMENT_BYTES),
}


class Cluster:
    """Three combined brokers and controllers, so that the controller can be lost as well.

    Each listens twice: on a port for everybody, and on one that it advertises as that of a proxy in front of
    it, so that whoever comes through the proxies stays behind them. `routes`: proxy's port -> broker's port.
    """

    def __init__(self, directory: Path) -> None:
        free = _different_ports()
        ports, controllers, behind, advertised = ({node: next(free) for node in NODES} for _ in range(4))
        self.routes = {advertised[node]: behind[node] for node in NODES}
        self.bootstrap_servers = _servers(ports.values())
        self.proxied_bootstrap_servers = _servers(advertised.values())
        quorum = ",".join(f"{node}@{HOST}:{controllers[node]}:{new_id()}" for node in NODES)
        cluster = "--cluster-id", new_id(), "--initial-controllers", quorum
        self._brokers = {
            node: Broker(
                ports[node],
                directory / f"broker-{node}",
                {
                    **SETTINGS,
                    "node.id": str(node),
                    "listeners": f"PLAINTEXT://{HOST}:{ports[node]},PROXIED://{HOST}:{behind[node]},"
                    f"CONTROLLER://{HOST}:{controllers[node]}",
                    "advertised.listeners": f"PLAINTEXT://{HOST}:{ports[node]},"
                    f"PROXIED://{HOST}:{advertised[node]}",
                    "controller.quorum.bootstrap.servers": _servers(controllers.values()),
                },
                cluster,
            )
            for node in NODES
        }

    def __enter__(self) -> Self:
        try:
            for broker in self._brokers.values():
                broker.launch()
            for broker in self._brokers.values():
                broker.wait_until_it_answers()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        # Nobody needs the data any more, and brokers in order wait for each other's goodbye.
        for broker in self._brokers.values():
            broker.kill()

    def kill(self, node: int) -> None:
        """End a broker as a power cut would."""
        self._brokers[node].kill()

    def stop(self, node: int) -> None:
        """Let a broker hand over and end."""
        self._brokers[node].stop()

    def start(self, node: int) -> None:
        """Start a broker again on its data."""
        self._brokers[node].start()

    def raise_if_dead(self) -> None:
        """Raise `BrokerDied` if a broker has ended by itself."""
        for broker in self._brokers.values():
            broker.raise_if_dead()

    def create_topics(self, partitions: Mapping[str, int]) -> None:
        """Make topics, with so many partitions each."""
        with self.admin() as admin:
            admin.create_topics(
                {topic: {"num_partitions": count} for topic, count in partitions.items()},
                wait_for_metadata=True,
            )

    def whole(self) -> bool:
        """Whether every partition is in sync on all three brokers, and led by the one it prefers.

        Without the second, which is asked for here, a broker that came back would lead nothing, and its next
        fall would be harmless. Raises `KafkaError` while nobody answers.
        """
        with self.admin() as admin:
            partitions = [part for topic in admin.describe_topics() for part in topic["partitions"]]
            if any(len(part["isr_nodes"]) < len(NODES) for part in partitions):
                return False
            if all(part["leader_id"] == part["replica_nodes"][0] for part in partitions):
                return True
            admin.elect_leaders(PREFERRED)
            return False

    def group_coordinator(self, group: str) -> int:
        """The broker that coordinates a consumer group."""
        with self.admin() as admin:
            return int(admin._manager.run(admin._find_coordinator_ids, [group])[group])

    def transaction_coordinator(self, transactional_id: str) -> int:
        """The broker that coordinates a producer's transactions."""
        with self.admin() as admin:
            return int(admin.describe_transactions([transactional_id])[transactional_id].coordinator_id)

    @contextlib.contextmanager
    def admin(self) -> Iterator[Any]:
        """An admin client that knows nothing from before the last fault."""
        admin = KafkaAdminClient(
            bootstrap_servers=self.bootstrap_servers.split(","),
            bootstrap_timeout_ms=ANSWER_MS,
            request_timeout_ms=ANSWER_MS,
        )
        try:
            yield admin
        finally:
            admin.close()


def _different_ports() -> Iterator[int]:
    given: set[int] = set()
    while True:
        if (port := free_port()) not in given:
            given.add(port)
            yield port


def _servers(ports: Iterable[int]) -> str:
    return ",".join(f"{HOST}:{port}" for port in ports)
