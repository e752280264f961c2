"""How much of a text a model reads."""

import pytest

from consumer.window import Window


@pytest.mark.parametrize("window", [Window(8), Window(8, 3), Window(8, 6)])
def test_text_that_fits_is_read_whole(window: Window) -> None:
    """A text with as many tokens as are read keeps all of them."""
    assert window.cut(range(8)) == range(8)


@pytest.mark.parametrize(
    ("tail", "kept"),
    [
        (0, [0, 1, 2, 3, 4, 5, 6, 99]),
        (2, [0, 1, 2, 3, 4, 97, 98, 99]),
        (6, [0, 93, 94, 95, 96, 97, 98, 99]),
    ],
)
def test_middle_of_a_longer_one_is_left_out(tail: int, kept: list[int]) -> None:
    """Of a longer text the first tokens stay and the last, [CLS] and [SEP] with them."""
    assert Window(8, tail).cut(range(100)) == kept
