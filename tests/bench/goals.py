"""What was to be shown, beside what was measured."""


def at_least(what: str, measured: float, bound: float) -> str:
    """A line of Markdown for a goal that more is better for."""
    return _line(what, measured, f"{bound:g} at least", measured >= bound)


def at_most(what: str, measured: float, bound: float) -> str:
    """A line of Markdown for a goal that less is better for."""
    return _line(what, measured, f"{bound:g} at most", measured <= bound)


def _line(what: str, measured: float, goal: str, met: bool) -> str:
    return f"- {what}: {measured:.2f} (goal: {goal}; {'met' if met else '**missed**'})"
