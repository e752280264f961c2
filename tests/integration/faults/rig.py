"""Cluster, consumers, proxy and traffic together, for the faults to happen to."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.integration.faults import patience
from tests.integration.faults.cluster import Cluster
from tests.integration.faults.comments import PARTITIONS, Comment
from tests.integration.faults.ledger import Ledger
from tests.integration.faults.patience import NotSurvived
from tests.integration.faults.proxy import Proxy
from tests.integration.faults.replica import Replica
from tests.integration.faults.topics import FLAGS, INPUT, OUTPUT_PARTITIONS, OUTPUTS
from tests.integration.faults.traffic import Producer, Reader

REPLICAS = 3


class Rig:
    """What a fault may touch.

    replicas: the consumers that should be at work
    ended: those that were killed or told to stop
    """

    def __init__(
        self,
        directory: Path,
        bundle: Path,
        cluster: Cluster,
        proxy: Proxy,
        producer: Producer,
        reader: Reader,
    ) -> None:
        self.cluster = cluster
        self.proxy = proxy
        self.producer = producer
        self.reader = reader
        self.replicas: list[Replica] = []
        self.ended: list[Replica] = []
        self._directory = directory
        self._bundle = bundle

    def start_replica(self, *, proxied: bool = False) -> Replica:
        """Start one more consumer."""
        name = f"replica-{len(self.replicas) + len(self.ended)}"
        servers = self.cluster.proxied_bootstrap_servers if proxied else self.cluster.bootstrap_servers
        log = self._directory / f"{name}.log"
        replica = Replica(name, self._bundle, servers, FLAGS, log, proxied=proxied)
        self.replicas.append(replica)
        return replica

    def kill_replica(self, replica: Replica) -> None:
        """Kill a consumer."""
        self._remove(replica)
        replica.kill()

    def stop_replica(self, replica: Replica) -> None:
        """Stop a consumer; raises `NotSurvived` unless it ends in order."""
        self._remove(replica)
        if code := replica.stop():
            raise NotSurvived(f"{replica.name} ended with code {code} when told to stop: see {replica.log}")

    def kill_all(self) -> None:
        """Leave nothing behind."""
        for replica in list(self.replicas):
            self.kill_replica(replica)

    def _remove(self, replica: Replica) -> None:
        self.replicas.remove(replica)
        self.ended.append(replica)

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Return once the condition holds; raises `NotSurvived` if it does not, or if somebody dies."""
        patience.wait_until(condition, what, self._raise_if_dead)

    def find(self, look: Callable[[], int], what: str) -> int:
        """What `look` gives, once Kafka answers it; raises as `wait_until`."""
        found: list[int] = []

        def looked() -> bool:
            found.append(look())
            return True

        self.wait_until(looked, what)
        return found[0]

    def wait_for_flow(self) -> None:
        """Return once comments sent from now on have come out of every input partition."""
        now = self.producer.sent
        self.wait_until(lambda: self.reader.all_newer(now), "comments of all partitions come out")

    def wait_until_whole(self) -> None:
        """Return once nothing shows any more that something was broken."""
        self.wait_until(self.cluster.whole, "all copies of all partitions are in sync")
        self.wait_until(lambda: all(replica.ready for replica in self.replicas), "all consumers are ready")
        self.wait_until(self._all_assigned, "every partition has one consumer")
        self.wait_for_flow()

    def _all_assigned(self) -> bool:
        assigned = [replica.metric("urgency_router_assigned_partitions") for replica in self.replicas]
        return sum(assigned) == PARTITIONS and min(assigned) > 0

    def pause(self, seconds: float) -> None:
        """Let time pass, with an eye on everybody."""
        until = time.monotonic() + seconds
        self.wait_until(lambda: time.monotonic() >= until, "time passes")

    def _raise_if_dead(self) -> None:
        self.cluster.raise_if_dead()
        self.producer.raise_if_failed()
        self.reader.raise_if_failed()
        for replica in self.replicas:
            replica.raise_if_ended()


@contextlib.contextmanager
def rigged(
    directory: Path, bundle: Path, ledger: Ledger, rate: float, comment: Callable[[int], Comment]
) -> Iterator[Rig]:
    """Start a cluster with its topics, traffic, and three consumers, the first of them behind the proxy."""
    with contextlib.ExitStack() as running:
        cluster = running.enter_context(Cluster(directory))
        cluster.create_topics({INPUT: PARTITIONS, **dict.fromkeys(OUTPUTS, OUTPUT_PARTITIONS)})
        proxy = running.enter_context(Proxy(cluster.routes))
        reader = running.enter_context(Reader(cluster.bootstrap_servers, ledger))
        producer = running.enter_context(Producer(cluster.bootstrap_servers, comment, rate, ledger))
        rig = Rig(directory, bundle, cluster, proxy, producer, reader)
        running.callback(rig.kill_all)
        for number in range(REPLICAS):
            rig.start_replica(proxied=number == 0)
        rig.wait_until_whole()
        yield rig
