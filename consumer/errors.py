"""The consumer's exceptions: one tree, each with the exit code that a process ending by it returns.

UrgencyRouterError          1
├── SettingsError           2  a setting is wrong, or contradicts the bundle
├── BundleError             3  the bundle is missing, incomplete, tampered with or of another format
│   └── GoldenMismatch      3  the bundle's golden comments come out different on this machine
├── DeviceError             4  the device asked for cannot be used
├── TopicsMissing           5  topics do not exist and the consumer may not make them
├── PortTaken               6  /metrics has no port to listen on
├── SessionFailed           7  the model fails at every text, golden comments included
├── AccessDenied            8  Kafka refuses the credentials, or a right is missing
├── DeadLetterRefused       9  Kafka refuses even the shortened dead letter of a message
├── OffsetLost             10  a committed offset is gone and --auto-offset-reset is none, or a replay's topic
├── BadMessage              -  never ends the process: the message goes to the dead letters
└── BatchDiscarded          -  never ends the process: what is in flight is thrown away and read again
    ├── Rebalanced
    ├── TopicMadeAgain
    └── TransactionFailed
        └── RecordsRefused
"""

from collections.abc import Mapping
from typing import ClassVar


class UrgencyRouterError(Exception):
    """Any failure the consumer explains; its message says what happened, to what, and what to do."""

    exit_code: ClassVar[int] = 1


class SettingsError(UrgencyRouterError):
    """A setting is wrong: correct it and start again."""

    exit_code = 2


class BundleError(UrgencyRouterError):
    """The bundle cannot be trusted: export it again, or copy it again."""

    exit_code = 3


class GoldenMismatch(BundleError):
    """The device gives other probabilities than the bundle states: do not use this device or this build."""


class DeviceError(UrgencyRouterError):
    """The device asked for is not usable: choose another, or mend its driver."""

    exit_code = 4


class TopicsMissing(UrgencyRouterError):
    """Topics are missing: create them, or pass --create-topics."""

    exit_code = 5


class PortTaken(UrgencyRouterError):
    """The metrics port cannot be listened on: free it, or choose another port or address."""

    exit_code = 6


class SessionFailed(UrgencyRouterError):
    """The model no longer computes anything: start again, on another device if it comes back."""

    exit_code = 7


class AccessDenied(UrgencyRouterError):
    """Kafka knows the credentials not, or grants too little: correct them, or add the right that is named."""

    exit_code = 8


class DeadLetterRefused(UrgencyRouterError):
    """A message can neither be published nor dead-lettered: mend the dead-letter topic's settings."""

    exit_code = 9


class OffsetLost(UrgencyRouterError):
    """Messages were deleted before they were read, and there is no going on without them."""

    exit_code = 10


class BadMessage(UrgencyRouterError):
    """This message holds no comment: dead-letter it.

    `reason` is one of `messages.REASONS`.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class BatchDiscarded(UrgencyRouterError):
    """Nothing of what is in flight was committed: go back to the committed offsets and read it again."""


class Rebalanced(BatchDiscarded):
    """The group has rebalanced since the batch was read, so its partitions may belong to another member."""


class TopicMadeAgain(BatchDiscarded):
    """The input topic was deleted and made again: what is in flight belongs to the old one."""


class TransactionFailed(BatchDiscarded):
    """The transaction did not commit, or nobody knows whether it did: rebuild the producer first."""


class RecordsRefused(TransactionFailed):
    """Kafka refuses some records whatever the state it is in: publish something else in their place.

    `errors` gives, per index of a record in the batch, Kafka's word for it.
    """

    def __init__(self, errors: Mapping[int, str]) -> None:
        kinds = ", ".join(sorted(set(errors.values())))
        super().__init__(f"Kafka refuses {len(errors)} records for good: {kinds}")
        self.errors = errors


def one_line(words: object) -> str:
    """Words from elsewhere, made fit to stand in an error: one line, printable, not long."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(words)[:300])
