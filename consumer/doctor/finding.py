"""What a check found: a verdict, what it is about, what was seen, and what to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from consumer.errors import UrgencyRouterError

# OK: nothing to do. WARN: it works, and something can go wrong. FAIL: it does not work, or messages get lost.
# SKIP: it was not checked.
Verdict = Literal["OK", "WARN", "FAIL", "SKIP"]
_BY_WEIGHT: tuple[Verdict, ...] = ("SKIP", "OK", "WARN", "FAIL")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; `advice` is empty where there is nothing to do."""

    verdict: Verdict
    check: str
    found: str
    advice: str = ""


def ok(check: str, found: str) -> Finding:
    """All is well."""
    return Finding("OK", check, found)


def warn(check: str, found: str, advice: str) -> Finding:
    """It works, and something can go wrong."""
    return Finding("WARN", check, found, advice)


def fail(check: str, found: str, advice: str) -> Finding:
    """It does not work, or messages get lost."""
    return Finding("FAIL", check, found, advice)


def skip(check: str, reason: str, advice: str = "") -> Finding:
    """It was not checked."""
    return Finding("SKIP", check, f"not checked: {reason}", advice)


def failed(check: str, error: UrgencyRouterError) -> Finding:
    """It fails as the service would, whose errors end with what to do."""
    found, _, advice = str(error).rpartition("; ")
    return fail(check, found or advice, advice if found else "")


def counted(number: int, one: str, many: str = "") -> str:
    """So many of something, in words."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def together(check: str, remarks: Sequence[Finding]) -> Finding:
    """Several findings about one thing as one: the worst verdict, and all the words.

    Args:
        check: what it is about.
        remarks: the findings, whose own names do not count.
    """
    return Finding(
        max((remark.verdict for remark in remarks), key=_BY_WEIGHT.index),
        check,
        ", ".join(remark.found for remark in remarks),
        "; ".join(remark.advice for remark in remarks if remark.advice),
    )
