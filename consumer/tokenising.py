"""Texts -> token ids, as the bundle's tokenizer gives them."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import compress

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, normalizers

from consumer.bundle import TOKENIZER, Bundle
from consumer.errors import BundleError, one_line
from consumer.window import Window

log = logging.getLogger(__name__)

# How much of a text is tokenised, in characters for each token that the model reads. Tokenising 10 MB takes
# 4 GB, to throw nearly all of it away. Of 8,694 reviews that filled 32 tokens none needed more than 5.8
# characters a token, so this leaves room for three times as much white space.
CHARACTERS_PER_TOKEN = 20
# Texts tokenised at once: the tokenizer holds what it truncates until their encodings go.
TOKENISED_TEXTS = 128
# What BERT's normalizer does to ASCII: white space becomes spaces, other control characters go.
_CLEANED = {**dict.fromkeys([*range(32), 127]), **dict.fromkeys(map(ord, "\t\n\r"), " ")}


class TextTokenizer:
    """The bundle's tokenizer, which cuts to the bundle's window.

    Most texts are ASCII, and BERT's normalizer takes a third of the time that tokenising takes to find that
    out for each character. So those texts are normalised by `str`, and tokenised without it.
    """

    def __init__(self, bundle: Bundle) -> None:
        """Load it.

        Raises:
            BundleError: it cannot be loaded.
        """
        self._window = bundle.manifest.window
        self.characters = CHARACTERS_PER_TOKEN * self._window.max_length
        self._tokenizer = _load(bundle)
        added = self._tokenizer.get_added_tokens_decoder().values()
        # Looked for before a text is normalised.
        self._added = [token.content for token in added]
        self._as_bert = _normalises_as_bert(self._tokenizer) and not any(token.normalized for token in added)
        self._of_normalised = _load(bundle)
        self._of_normalised.normalizer = normalizers.Sequence([])

    def tokens(self, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        """Give each text its token ids, max_length at most, none where the tokenizer fails at it.

        Of a text with more than `characters` the middle is not read, nor white space before and after it.
        """
        cut = [self._cut(text) for text in texts]
        plain = [self._is_plain(text) for text in cut]
        normalised = [text.translate(_CLEANED).lower() for text in compress(cut, plain)]
        others = [text for text, is_plain in zip(cut, plain, strict=True) if not is_plain]
        of_plain = iter(_encode(self._of_normalised, normalised, self._window))
        of_others = iter(_encode(self._tokenizer, others, self._window))
        return [next(of_plain if is_plain else of_others) for is_plain in plain]

    def _cut(self, text: str) -> str:
        text = text.lstrip()
        if len(text) <= self.characters:
            return text
        tail = CHARACTERS_PER_TOKEN * self._window.tail
        end = text[-self.characters :].rstrip()[-tail:] if tail else ""
        # Parted, so that no word arises that is not in the text.
        return f"{text[: self.characters - tail - 1]} {end}"

    def _is_plain(self, text: str) -> bool:
        return self._as_bert and text.isascii() and not any(token in text for token in self._added)


def _encode(tokenizer: Tokenizer, texts: Sequence[str], window: Window) -> list[NDArray[np.int32]]:
    tokens: list[NDArray[np.int32]] = []
    for start in range(0, len(texts), TOKENISED_TEXTS):
        chunk = texts[start : start + TOKENISED_TEXTS]
        try:
            with _panics_caught():
                encodings = tokenizer.encode_batch_fast(chunk)
            tokens += [np.array(window.cut(encoding.ids), dtype=np.int32) for encoding in encodings]
        except Exception as error:  # tokenizers raises plain Exception, and numpy at ids that are too large
            if len(texts) == 1:
                log.warning("the tokenizer fails at a text: %s", type(error).__name__)
                return [np.array([], dtype=np.int32)]
            tokens += [_encode(tokenizer, [text], window)[0] for text in chunk]
    return tokens


def _normalises_as_bert(tokenizer: Tokenizer) -> bool:
    normalizer = tokenizer.normalizer
    return (
        isinstance(normalizer, normalizers.BertNormalizer) and normalizer.clean_text and normalizer.lowercase
    )


def _load(bundle: Bundle) -> Tokenizer:
    path = bundle.path(TOKENIZER)
    try:
        with _panics_caught():
            tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises plain Exception
        raise BundleError(f"cannot load {path}: {one_line(error)}; export the bundle again") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


@contextmanager
def _panics_caught() -> Iterator[None]:
    """Let a panic of the tokenizer, a BaseException of no class that can be imported, be an Exception."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise RuntimeError(str(error)) from None
