"""A BERT and files of comments small enough to fine-tune in seconds."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from finetune.settings import Settings, parse_settings

# Fifty words, the first ten of which tell the star: two for each.
WORDS = [f"{consonant}{vowel}" for consonant in "bcdfghklmn" for vowel in "aeiou"]

Comments = list[tuple[str, str]]  # star, text


def _comments(count: int, seed: int) -> Comments:
    """Different comments; the stars take turns."""
    draw = random.Random(seed)
    made: dict[str, str] = {}
    while len(made) < count:
        star = len(made) % 5
        words = draw.choices(WORDS, k=draw.choice((3, 5, 8, 13, 21)))
        made[" ".join([WORDS[2 * star], *words, WORDS[2 * star + 1]])] = str(star + 1)
    return [(star, text) for text, star in made.items()]


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pretrained model as it is published, with random weights: two layers, 32 wide, 64 positions."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel

    directory = tmp_path_factory.mktemp("base") / "tiny"
    vocabulary = {token: n for n, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])}
    torch.manual_seed(0)
    BertModel(
        BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=64,
        )
    ).save_pretrained(directory)
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    # Baked in, as the packaged model has them.
    tokenizer.enable_truncation(16)
    tokenizer.enable_padding(length=16)
    tokenizer.save(str(directory / "tokenizer.json"))
    (directory / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    return directory


@pytest.fixture(scope="session")
def comments() -> Callable[..., Comments]:
    """Makes a number of different comments whose words tell the star."""

    def make(count: int, seed: int = 0) -> Comments:
        return _comments(count, seed)

    return make


@pytest.fixture(scope="session")
def write_reviews() -> Callable[[Path, Comments], Path]:
    """Writes comments as a TSV file with the two columns that are needed."""

    def write(path: Path, rows: Comments) -> Path:
        lines = ["star_rating\treview_body", *map("\t".join, rows)]
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def settings(tiny_bert: Path) -> Callable[..., Settings]:
    """Makes the settings of a run from a file into a folder, with the tiny model and more flags as given."""

    def make(data: Path, output: Path, *flags: str) -> Settings:
        fixed = ["--data", str(data), "--output", str(output), "--base-model", str(tiny_bert)]
        return parse_settings([*fixed, *flags])

    return make
