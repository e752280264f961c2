"""The README says what the code does."""

import re

from consumer import errors
from tests.readme import README, generate


def test_tables_are_those_of_the_code() -> None:
    """Settings, metrics and reasons in the README are the code's own; `make readme` writes them."""
    assert README.read_text() == generate(README.read_text())


def test_exit_codes_are_those_of_the_errors() -> None:
    """The README lists every exit code that an error has, and no other but 0."""
    section = README.read_text().partition("## Exit codes")[2].partition("\n## ")[0]
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)}

    raised = {
        error.exit_code
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, errors.UrgencyRouterError)
    }
    assert listed == raised | {0}
