"""What the probes ask: is the loop turning, and is it labelling?"""

import time
from collections.abc import MutableSequence, Sequence

from consumer.metrics import Metrics


class Pulse:
    """Two numbers, which other processes may share: when the loop last turned, and whether it labels."""

    def __init__(self, state: MutableSequence[float], stall_seconds: float) -> None:
        """Start alive and not ready.

        Args:
            state: where the two are kept.
            stall_seconds: a loop silent for longer counts as stuck, seconds.
        """
        self._state = state
        self._stall_seconds = stall_seconds
        self._state[:] = [time.monotonic(), 0.0]

    @property
    def live(self) -> bool:
        """False once the loop has been silent for too long: restart the process."""
        return time.monotonic() - self._state[0] < self._stall_seconds

    @property
    def ready(self) -> bool:
        """True while the model has proved itself and the group is joined."""
        return bool(self._state[1])


class Health(Pulse):
    """A consumer's own pulse."""

    def __init__(
        self, metrics: Metrics, stall_seconds: float, state: MutableSequence[float] | None = None
    ) -> None:
        """Start alive and not ready.

        Args:
            metrics: its `ready` gauge follows.
            stall_seconds: a loop silent for longer counts as stuck, seconds.
            state: where to keep it, for other processes to read.
        """
        super().__init__([0.0, 0.0] if state is None else state, stall_seconds)
        self._metrics = metrics

    def beat(self) -> None:
        """Say that the loop is turning."""
        self._state[0] = time.monotonic()

    def set_ready(self, ready: bool) -> None:
        """Say whether comments are being labelled."""
        self._state[1] = float(ready)
        self._metrics.ready.set(ready)


class Together:
    """Several pulses as one: what holds of all."""

    def __init__(self, pulses: Sequence[Pulse]) -> None:
        self._pulses = pulses

    @property
    def live(self) -> bool:
        """True while every loop is turning."""
        return all(pulse.live for pulse in self._pulses)

    @property
    def ready(self) -> bool:
        """True while every one labels."""
        return all(pulse.ready for pulse in self._pulses)
