"""Texts -> token ids."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, normalizers

from consumer import bundle
from consumer.bundle import Bundle
from consumer.tokenising import TextTokenizer

ASCII = st.text(st.characters(max_codepoint=127), max_size=80)
PIECES = ["late", "LATE", "kettle!", "[SEP]", "[sep]", "[MASK]", "caf\xe9", "\t", "\x0b", "\u592a"]
TEXTS = st.lists(ASCII | st.lists(st.sampled_from(PIECES)).map(" ".join), min_size=1, max_size=5)


@pytest.fixture(scope="module")
def whole(tiny_bundle: Path) -> Bundle:
    """The tiny bundle."""
    return bundle.read(tiny_bundle)


@pytest.fixture(scope="module")
def text_tokenizer(whole: Bundle) -> TextTokenizer:
    """Its tokenizer."""
    return TextTokenizer(whole)


def as_it_is(tokenizer: Tokenizer, texts: list[str], bundle: Bundle) -> list[list[int]]:
    """What the tokenizers package gives each text, cut."""
    return [list(bundle.manifest.window.cut(tokenizer.encode(text.lstrip()).ids)) for text in texts]


def test_long_text_is_cut_to_the_window(text_tokenizer: TextTokenizer, whole: Bundle) -> None:
    """Of a long text, plain or not, the first tokens come and the last, as many as the bundle says."""
    window = whole.manifest.window
    for first in ("late", "sp\xe4t"):
        text = f"{first} kettle " + "and " * 10_000 + "broken refund " * window.tail
        [tokens] = text_tokenizer.tokens([text])

        ids = text_tokenizer._tokenizer.encode(text).ids
        assert tokens.tolist() == [*ids[: window.max_length - window.tail - 1], *ids[-window.tail - 1 :]]


@given(TEXTS)
def test_tokens_are_those_of_the_bundles_tokenizer(
    text_tokenizer: TextTokenizer, whole: Bundle, texts: list[str]
) -> None:
    """Whatever a text holds, control characters and special tokens too, it gets the tokenizer's tokens."""
    got = [tokens.tolist() for tokens in text_tokenizer.tokens(texts)]

    assert got == as_it_is(text_tokenizer._tokenizer, texts, whole)


@pytest.mark.parametrize(
    "changed",
    [
        {"normalizer": normalizers.BertNormalizer(lowercase=False)},
        {"normalizer": normalizers.BertNormalizer(clean_text=False)},
        {"normalizer": normalizers.Replace("late", "early")},
        {"added": AddedToken("kettle", normalized=True)},
    ],
    ids=str,
)
def test_another_tokenizer_is_used_as_it_is(
    whole: Bundle, tmp_path: Path, changed: dict[str, object]
) -> None:
    """One that normalises in another way than BERT, or adds tokens of its own, gives its own tokens."""
    tokenizer = Tokenizer.from_file(str(whole.path(bundle.TOKENIZER)))
    if "added" in changed:
        tokenizer.add_tokens([changed["added"]])
    else:
        tokenizer.normalizer = changed["normalizer"]
    tokenizer.save(str(tmp_path / bundle.TOKENIZER))
    texts = ["Late KETTLE, late\x07 again", "a Kettle"]

    got = [tokens.tolist() for tokens in TextTokenizer(replace(whole, directory=tmp_path)).tokens(texts)]

    assert got == as_it_is(tokenizer, texts, whole)
