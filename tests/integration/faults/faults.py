"""What can happen to a consumer group. Each fault is over when what was broken or taken away is back."""

import random
from collections.abc import Callable, Mapping

from tests.integration.faults.cluster import NODES
from tests.integration.faults.proxy import Mode
from tests.integration.faults.replica import SESSION_SECONDS, Replica
from tests.integration.faults.rig import Rig
from tests.integration.faults.topics import GROUP

Fault = Callable[[Rig, random.Random], None]


def kill_consumer(rig: Rig, draw: random.Random) -> None:
    """One consumer is killed (SIGKILL); another takes its place."""
    victim = draw.choice(rig.replicas)
    rig.kill_replica(victim)
    rig.start_replica(proxied=victim.proxied)


def stop_consumer(rig: Rig, draw: random.Random) -> None:
    """One consumer is told to stop (SIGTERM); another takes its place."""
    victim = draw.choice(rig.replicas)
    rig.stop_replica(victim)
    rig.start_replica(proxied=victim.proxied)


def freeze_consumer(rig: Rig, draw: random.Random) -> None:
    """One consumer is held (SIGSTOP) until the others have all partitions, then goes on as a zombie."""
    victim = draw.choice(rig.replicas)
    victim.freeze()
    rig.wait_for_flow()
    victim.thaw()


def scale_out_and_in(rig: Rig, draw: random.Random) -> None:
    """A fourth and a fifth consumer join, and leave again."""
    more: list[Replica] = []
    for _ in range(2):
        more.append(rig.start_replica())
        rig.wait_until_whole()
    for replica in draw.sample(more, 2):
        rig.stop_replica(replica)


def kill_broker(rig: Rig, draw: random.Random) -> None:
    """One broker is killed (SIGKILL)."""
    _lose(rig, draw.choice(NODES))


def bounce_broker(rig: Rig, draw: random.Random) -> None:
    """One broker is stopped in order (SIGTERM) and started at once."""
    node = draw.choice(NODES)
    rig.cluster.stop(node)
    rig.cluster.start(node)


def kill_group_coordinator(rig: Rig, _: random.Random) -> None:
    """The broker that coordinates the group is killed."""
    _lose(rig, rig.find(lambda: rig.cluster.group_coordinator(GROUP), "the group has a coordinator"))


def kill_transaction_coordinator(rig: Rig, draw: random.Random) -> None:
    """The broker that coordinates one consumer's transactions is killed."""
    victim = draw.choice(rig.replicas)
    node = rig.find(
        lambda: rig.cluster.transaction_coordinator(victim.transactional_id),
        "transactions have a coordinator",
    )
    _lose(rig, node)


def refuse_connections(rig: Rig, draw: random.Random) -> None:
    """One consumer loses its connections and gets no new ones."""
    _cut(rig, draw, "refuse")


def stall_connections(rig: Rig, draw: random.Random) -> None:
    """On one consumer's connections nothing moves."""
    _cut(rig, draw, "stall")


def reset_connections(rig: Rig, draw: random.Random) -> None:
    """One consumer's connections are reset in the middle of a response, several times."""
    enough = rig.proxy.resets + draw.randint(3, 20)
    rig.proxy.set("reset")
    rig.wait_until(lambda: rig.proxy.resets >= enough, "connections are reset")
    rig.proxy.set("pass")


FAULTS: Mapping[str, Fault] = {
    "kill -9 a consumer": kill_consumer,
    "SIGTERM a consumer": stop_consumer,
    "SIGSTOP a consumer until others have its partitions, then SIGCONT": freeze_consumer,
    "a fourth and a fifth consumer join and leave": scale_out_and_in,
    "kill -9 a broker": kill_broker,
    "SIGTERM a broker": bounce_broker,
    "kill -9 the group's coordinator": kill_group_coordinator,
    "kill -9 a transaction coordinator": kill_transaction_coordinator,
    "a consumer's connections refused": refuse_connections,
    "a consumer's connections stalled": stall_connections,
    "a consumer's connections reset in mid-response": reset_connections,
}


def _lose(rig: Rig, node: int) -> None:
    """Kill a broker, see that the two others carry on without it, and start it again."""
    rig.cluster.kill(node)
    rig.wait_for_flow()
    rig.cluster.start(node)


def _cut(rig: Rig, draw: random.Random, mode: Mode) -> None:
    """For a time that the consumer's session may outlast or not."""
    rig.proxy.set(mode)
    rig.pause(draw.uniform(0.2, 2) * SESSION_SECONDS)
    rig.proxy.set("pass")
