"""What can go wrong while fine-tuning, in one tree.

FinetuneError
├── DataError         a data file, or what is in it
├── BaseModelError    the pretrained model
├── CheckpointError   a finished checkpoint that is asked something
└── FeedbackError     the topic with people's corrections

Interrupted stands apart: it is the user's wish, not a fault, and must pass every `except Exception`.
"""

import signal


class FinetuneError(Exception):
    """Fine-tuning cannot go on; the message says why and what to do."""


class DataError(FinetuneError):
    """A data file cannot be read, or holds too little to train on."""


class BaseModelError(FinetuneError):
    """The pretrained model cannot be found, or is not one this project can use."""


class CheckpointError(FinetuneError):
    """A checkpoint is missing, incomplete, or of an older version."""


class FeedbackError(FinetuneError):
    """The topic with corrections cannot be read."""


class Interrupted(KeyboardInterrupt):
    """SIGINT or SIGTERM came."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number
