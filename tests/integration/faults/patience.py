"""Waiting for what should come true by itself."""

import contextlib
import sys
import threading
import time
from collections.abc import Callable

from kafka.errors import KafkaError

SECONDS = 120.0
LOOK_EVERY_SECONDS = 0.1

# An exception raised by the signal itself could come in the middle of kafka-python, which would then hold a
# lock for ever.
told_to_stop = threading.Event()


class NotSurvived(AssertionError):
    """Something that should have come true by itself did not."""


def wait_until(condition: Callable[[], bool], what: str, watch: Callable[[], None]) -> None:
    """Return once the condition holds; Kafka refusing to answer counts as not yet.

    `watch` is called all the while, to raise what makes waiting useless.

    Raises:
        NotSurvived: it did not come true in time.
        SystemExit: the run was told to stop.
    """
    deadline = time.monotonic() + SECONDS
    while True:
        end_if_told()
        watch()
        with contextlib.suppress(KafkaError):
            if condition():
                return
        if time.monotonic() > deadline:
            raise NotSurvived(f"{what}: not in {SECONDS:.0f} s")
        told_to_stop.wait(LOOK_EVERY_SECONDS)


def end_if_told() -> None:
    """Raise SystemExit if the run was told to stop."""
    if told_to_stop.is_set():
        sys.exit("stopped")
