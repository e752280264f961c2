"""The texts that are measured with."""

import pytest

from tests.conftest import comments
from tests.gpu import texts
from tests.gpu.models import Model


@pytest.mark.parametrize("tokens", [3, 8, 64])
def test_texts_are_of_the_wanted_length(small: Model, tokens: int) -> None:
    """The tokenizer makes exactly so many tokens of each text, [CLS] and [SEP] included."""
    made = texts.of_length(small.checkpoint.tokenizer, comments(50), tokens, 20)

    assert small.token_counts(made) == [tokens] * 20


def test_no_single_token_is_said(small: Model) -> None:
    """Where no word is one token, that is said rather than texts of another length made."""
    with pytest.raises(ValueError, match="no word of these comments is a single token"):
        texts.of_length(small.checkpoint.tokenizer, ["Donaudampfschiff"], 8, 1)


def test_different_texts_begin_with_the_comments() -> None:
    """Twice as many texts as comments are all different, begin with the comments, and none is empty."""
    made = texts.different(comments(100), 200)

    assert made[:100] == comments(100)
    assert len(set(made)) == 200
    assert all(text.strip() for text in made)


def test_too_few_words_are_said() -> None:
    """Comments that hold too few different pieces are refused."""
    with pytest.raises(ValueError, match="make 3 different texts, and 4 are needed"):
        texts.different(["too few"], 4)


def test_mix_keeps_its_lengths() -> None:
    """More texts than comments are the comments again and again, and fewer are some of them."""
    assert texts.like(["a", "b b"], 5) == ["a", "b b", "a", "b b", "a"]
    assert set(texts.like(["a", "b", "c"], 2)) < {"a", "b", "c"}
