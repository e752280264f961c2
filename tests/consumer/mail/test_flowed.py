"""format=flowed."""

import pytest

from consumer.mail.flowed import unflowed


@pytest.mark.parametrize(
    ("text", "delete_space", "expected"),
    [
        ("The charger \nsmokes.\nCall me.", False, "The charger smokes.\nCall me."),
        ("smo \nkes", True, "smokes"),
        ("a\n\nb", False, "a\n\nb"),
        ("> a \n> b\n>> c \n> d", False, "> a b\n>> c \n> d"),
        (" > no quotation\n  indented", False, "> no quotation\n indented"),
        ("the end \n-- \nAnna \nB.", False, "the end \n-- \nAnna B."),
        ("last line \n", False, "last line "),
        ("", False, ""),
    ],
)
def test_lines_come_together(text: str, delete_space: bool, expected: str) -> None:
    """Lines that end with a space flow into the next of the same depth; a signature's delimiter does not."""
    assert unflowed(text, delete_space=delete_space) == expected
