"""Every comment is counted in and out by its key."""

from deploy.local.accounting import Account
from deploy.local.produce import Comment
from deploy.local.routed import Routed


def comments(*keys: bytes) -> list[Comment]:
    """Comments with these keys."""
    return [Comment(key, b"{}") for key in keys]


def messages(*keys: bytes | None, lane: str = "high") -> list[Routed]:
    """Routed messages with these keys."""
    return [Routed(lane, key, "late", "1", 0.9) for key in keys]


def test_each_once_leaves_nothing() -> None:
    """When each comment has come out once, nothing waits and nothing is in surplus."""
    account = Account()
    account.send(comments(b"1", b"2"))
    account.come(messages(b"2", b"1"))

    assert (account.sent, account.waiting, account.surplus) == (2, 0, 0)


def test_lost_comment_waits() -> None:
    """A comment that has not come out waits, although as many messages came as were sent."""
    account = Account()
    account.send(comments(b"1", b"2"))
    account.come(messages(b"1", b"1"))

    assert (account.waiting, account.surplus) == (1, 1)


def test_stranger_is_surplus() -> None:
    """A message that nobody sent, even one without a key, is in surplus."""
    account = Account()
    account.send(comments(b"1"))
    account.come(messages(b"1", None))

    assert (account.waiting, account.surplus) == (0, 1)


def test_repeated_key_is_matched_as_often() -> None:
    """Two comments with one key are both waited for, in any order of sending and coming."""
    account = Account()
    account.come(messages(b"1"))
    account.send(comments(b"1", b"1"))
    assert (account.waiting, account.surplus) == (1, 0)
    account.come(messages(b"1"))

    assert (account.waiting, account.surplus) == (0, 0)


def test_dead_letters_count_as_come() -> None:
    """A dead letter is a comment that came out, in a lane of its own."""
    account = Account()
    account.send(comments(b"1", b"2"))
    account.come(messages(b"1") + messages(b"2", lane="dead-letter"))

    assert account.waiting == 0
    assert account.came == {"high": 1, "dead-letter": 1}
