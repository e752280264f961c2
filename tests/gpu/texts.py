"""Texts to measure with: of a wanted length, and many different ones."""

import random
from collections.abc import Sequence

from tokenizers import Tokenizer

# Tries before it is said that no more texts come of these comments.
PATIENCE = 1000


def of_length(tokenizer: Tokenizer, comments: Sequence[str], tokens: int, count: int) -> list[str]:
    """Texts of exactly that many tokens, special ones included, made of words that are one token each.

    Raises:
        ValueError: no word of the comments is one token.
    """
    words = sorted({word for comment in comments for word in comment.split()})
    encodings = tokenizer.encode_batch(words, add_special_tokens=False)
    # A word that is one token by itself stays one among others: the tokenizer cuts at white space first.
    single = [word for word, encoding in zip(words, encodings, strict=True) if len(encoding) == 1]
    if not single:
        raise ValueError("no word of these comments is a single token: name another file with --data")
    special = tokenizer.num_special_tokens_to_add(is_pair=False)
    draw = random.Random(tokens)
    return [" ".join(draw.choices(single, k=tokens - special)) for _ in range(count)]


def different(comments: Sequence[str], count: int) -> list[str]:
    """Different texts: the comments, as many as are wanted, then random pieces of them.

    A piece is another sequence of tokens of another length, which is all that agreement and independence ask.

    Raises:
        ValueError: the comments hold too little.
    """
    made = dict.fromkeys(comments)
    words = [comment.split() for comment in made if comment.strip()]
    draw = random.Random(0)
    tries = 0
    while len(made) < count and tries < PATIENCE:
        comment = draw.choice(words)
        start = draw.randrange(len(comment))
        piece = " ".join(comment[start : draw.randint(start + 1, len(comment))])
        tries = tries + 1 if piece in made else 0
        made[piece] = None
    if len(made) < count:
        raise ValueError(
            f"these comments make {len(made):,} different texts, and {count:,} are needed:"
            " name a larger file with --data"
        )
    return list(made)[:count]


def like(comments: Sequence[str], count: int) -> list[str]:
    """As many texts as are wanted, lengths mixed as in the comments."""
    if len(comments) >= count:
        return random.Random(0).sample(comments, count)
    return [comments[number % len(comments)] for number in range(count)]
