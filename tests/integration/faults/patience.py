"""Waiting for what should come true by itself."""

import contextlib
import time
from collections.abc import Callable

from kafka.errors import KafkaError

SECONDS = 120.0
LOOK_EVERY_SECONDS = 0.1


class NotSurvived(AssertionError):
    """Something that should have come true by itself did not."""


def wait_until(condition: Callable[[], bool], what: str, watch: Callable[[], None]) -> None:
    """Return once the condition holds; Kafka refusing to answer counts as not yet.

    `watch` is called all the while, to raise what makes waiting useless.

    Raises:
        NotSurvived: it did not come true in time.
    """
    deadline = time.monotonic() + SECONDS
    while True:
        watch()
        with contextlib.suppress(KafkaError):
            if condition():
                return
        if time.monotonic() > deadline:
            raise NotSurvived(f"{what}: not in {SECONDS:.0f} s")
        time.sleep(LOOK_EVERY_SECONDS)
