"""Whether every comment came out exactly once."""

from collections import Counter
from collections.abc import Sequence

from deploy.local.produce import Comment
from deploy.local.routed import Routed


class Account:
    """Comments that went in and messages that came out, matched by key; holds only the keys that differ.

    sent: comments that went in
    came: messages that came out, by lane
    waiting: comments that have not come out
    surplus: messages that came out more often than they went in
    """

    def __init__(self) -> None:
        self.sent = 0
        self.came: Counter[str] = Counter()
        self.waiting = 0
        self.surplus = 0
        self._balance: Counter[bytes | None] = Counter()  # sent minus came

    def send(self, comments: Sequence[Comment]) -> None:
        """Count comments that went in."""
        self.sent += len(comments)
        for comment in comments:
            if self._balance[comment.key] < 0:
                self.surplus -= 1
            else:
                self.waiting += 1
            self._add(comment.key, 1)

    def come(self, messages: Sequence[Routed]) -> None:
        """Count messages that came out, dead letters among them."""
        self.came.update(message.lane for message in messages)
        for message in messages:
            if self._balance[message.key] > 0:
                self.waiting -= 1
            else:
                self.surplus += 1
            self._add(message.key, -1)

    def _add(self, key: bytes | None, change: int) -> None:
        self._balance[key] += change
        if not self._balance[key]:
            del self._balance[key]
