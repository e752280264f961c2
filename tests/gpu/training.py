"""Fine-tuning as `python -m finetune` does it: steps a second, and whether the loss falls."""

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from finetune import run as finetune
from finetune import training
from finetune.settings import Settings, parse_settings
from tests.gpu.record import Result, Verdict

# Of a large file: enough steps to see the loss fall, in a minute or two.
LIMIT = 10_000


@dataclass(frozen=True)
class Logged:
    """A loss that fine-tuning told: the mean over the steps since the one before."""

    time: float
    step: int
    loss: float


@dataclass(frozen=True)
class Trained:
    """A checkpoint, and what its fine-tuning told.

    stretches: losses between which nothing but training happened, in order
    """

    checkpoint: Path
    bf16: bool
    stretches: list[list[Logged]]

    @property
    def losses(self) -> list[float]:
        """All losses, from first to last."""
        return [logged.loss for stretch in self.stretches for logged in stretch]

    @property
    def steps_a_second(self) -> float:
        """Steps over the time they took, without the evaluations in between."""
        ends = [(stretch[0], stretch[-1]) for stretch in self.stretches if len(stretch) > 1]
        return sum(b.step - a.step for a, b in ends) / sum(b.time - a.time for a, b in ends)


def train(data: Path, checkpoint: Path, log: Path, *flags: str) -> Trained:
    """Fine-tune the default base model with the default settings; what it prints goes to the log."""
    settings = parse_settings(
        ["--data", str(data), "--output", str(checkpoint), "--limit", str(LIMIT), *flags]
    )
    bf16 = bool(training.training_arguments(settings, checkpoint / "unused", progress_bar=False).bf16)
    with log.open("w") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        stretches = _told(settings)
    return Trained(checkpoint, bf16, stretches)


def _told(settings: Settings) -> list[list[Logged]]:
    with _listening() as listener:
        finetune.run(settings)
    return [stretch for stretch in listener.stretches if stretch]


class _Listener(logging.Handler):
    """Collects the losses that `finetune.training` logs, and where evaluations come between them."""

    def __init__(self) -> None:
        super().__init__()
        self.stretches: list[list[Logged]] = [[]]

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record of a step; one of an epoch says that an evaluation took time."""
        match record.args:
            case (int(step), int(), float(loss)):
                self.stretches[-1].append(Logged(record.created, step, loss))
            case (_, _, _, _):
                self.stretches.append([])


@contextlib.contextmanager
def _listening() -> Iterator[_Listener]:
    logger, listener = training.logger, _Listener()
    level = logger.level
    logger.addHandler(listener)
    logger.setLevel(logging.INFO)
    try:
        yield listener
    finally:
        logger.removeHandler(listener)
        logger.setLevel(level)


def report(trained: Trained) -> Result:
    """Steps a second and the losses."""
    first, last = trained.losses[0], trained.losses[-1]
    row = {
        "fine-tuning in": "bf16" if trained.bf16 else "fp32",
        "steps/s": trained.steps_a_second,
        "steps": trained.stretches[-1][-1].step,
        "first loss": first,
        "last loss": last,
    }
    return Result(rows=[row], verdicts=[falls(first, last)])


def falls(first: float, last: float) -> Verdict:
    """Whether the loss fell."""
    # Written so that NaN, which compares false with everything, does not hold.
    return Verdict(
        claim="the loss falls", measured=f"from {first:.3f} to {last:.3f}", held=last < first, hard=True
    )
