"""Texts -> token ids, as the consumer has them of the exported bundle."""

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from consumer.window import Window


def token_ids(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], window: Window
) -> list[Sequence[int]]:
    """Give each text its token ids, special ones included, cut to the window."""
    # It would warn of each text that is longer than the model can take, before that is cut.
    return [window.cut(ids) for ids in tokenizer(list(texts), verbose=False)["input_ids"]]
