"""How much of a text a model reads."""

from collections.abc import Sequence
from typing import NamedTuple


class Window(NamedTuple):
    """The most tokens of a text that a model reads.

    Of a longer text the middle is left out, since many comments say in the end what they are about. Sun et
    al. 2019, "How to Fine-Tune BERT for Text Classification?", head and tail.

    Attributes:
        max_length: how many, [CLS] and [SEP] included.
        tail: how many of them, without [SEP], are a longer text's last.
    """

    max_length: int
    tail: int = 0

    def cut(self, ids: Sequence[int]) -> Sequence[int]:
        """Give the token ids that are read, of all that a text has from [CLS] to [SEP]."""
        if len(ids) <= self.max_length:
            return ids
        end = self.tail + 1
        return [*ids[: self.max_length - end], *ids[-end:]]
