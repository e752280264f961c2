"""How long a consumer takes at most to end in order after SIGTERM."""

from consumer.service import LEAVE_TIMEOUT_MS
from consumer.settings import WAIT_SECONDS, Settings


def longest_seconds(settings: Settings) -> float:
    """From SIGTERM to the end, where Kafka answers as late as it may, seconds.

    The turn that was under way publishes one batch and reads another, which is published too. For each, the
    device may take `max_batch_seconds`, a request before the transaction WAIT_SECONDS, and the transaction
    `transaction_timeout_seconds`. Then the group is left.

    Records that Kafka refuses take another transaction, which is not counted; if it is cut off, they are read
    again.
    """
    batch = settings.max_batch_seconds + WAIT_SECONDS + settings.transaction_timeout_seconds
    return 2 * batch + LEAVE_TIMEOUT_MS / 1000
