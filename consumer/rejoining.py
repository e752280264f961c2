"""Joins of the group that last longer than a poll, of which kafka-python loses some.

One that new partitions began it never ends: it looks for the cause again, and finds none. One that is over
before the next poll it begins again, and every other member has to join again as well: a group whose members
are busy between two polls would not settle for a long time.
"""

from typing import Any


def keep(coordinator: Any) -> None:
    """Have the next poll go on with a join that an earlier one began, or end it if that is over.

    Args:
        coordinator: the KafkaConsumer's.
    """
    if coordinator.rejoining:
        coordinator.request_rejoin()
        if coordinator._join_task is not None:
            coordinator._join_task = _Kept(coordinator._join_task)


class _Kept:
    """A join that kafka-python waits for, though it may be over."""

    is_done = False

    def __init__(self, join: Any) -> None:
        self.add_callback = join.add_callback
        self.add_errback = join.add_errback
