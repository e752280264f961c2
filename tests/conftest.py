"""A checkpoint and a bundle small enough to build in seconds, shared by the tests of several packages."""

import json
import os
import random
import signal
from pathlib import Path

import numpy as np
import pytest

# Before torch is imported: on models this small a second thread only spins, worst on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# What `make test` had Java write: a broker then starts in half the time.
_JAVA_CACHE = Path(__file__).parents[1] / ".cache" / "java.aot"
if _JAVA_CACHE.exists():
    os.environ.setdefault("JDK_JAVA_OPTIONS", f'"-XX:AOTCache={_JAVA_CACHE}"')
# A shell starts what it puts in the background deaf to Ctrl-C, and whatever the tests start would be so too.
signal.signal(signal.SIGINT, signal.default_int_handler)

LABELS = ("1", "2", "3", "4", "5")
# How many comments of each label the tiny checkpoint says that it was trained on.
TRAINED_ON = (120, 80, 100, 200, 500)
MAX_LENGTH = 64
TEMPERATURE = 1.7
_WORDS = (
    "the a and but not very too was is my it again delivery parcel kettle refund invoice update screen seat "
    "food waiter train hotel app price support broken late cold great fine awful perfect kind rude slow "
    "quick never always twice money back today please thank you . , ! ?"
)
WORDS = _WORDS.split()


def comments(count: int, *, seed: int = 0) -> list[str]:
    """Different comments of 1 to 90 words, so that some exceed MAX_LENGTH tokens."""
    draw = random.Random(seed)
    made: dict[str, None] = {}
    while len(made) < count:
        made[" ".join(draw.choices(WORDS, k=draw.choice((1, 2, 3, 5, 8, 13, 21, 34, 90))))] = None
    return list(made)


def build_checkpoint(directory: Path, *, test_texts: list[str], seed: int = 0, layers: int = 2) -> None:
    """Write what `finetune` writes, with random weights and a vocabulary of letters and a few words."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(seed)
    vocabulary = _write_tokenizer(directory)
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=MAX_LENGTH,
        initializer_range=0.2,
        num_labels=len(LABELS),
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
    )
    model = BertForSequenceClassification(config).eval()
    _spread_labels(model, directory / "tokenizer.json")
    model.save_pretrained(directory)
    training = {
        "labels": list(LABELS),
        "max_length": MAX_LENGTH,
        "tail": MAX_LENGTH // 4,
        "temperature": TEMPERATURE,
        "data": {"labels": dict(zip(LABELS, TRAINED_ON, strict=True))},
        "measures": {"accuracy": 0.5},
    }
    (directory / "training.json").write_text(json.dumps(training))
    write_test_split(directory, test_texts)


def write_test_split(directory: Path, texts: list[str]) -> None:
    """Write the checkpoint's test.parquet."""
    import pyarrow
    from pyarrow import parquet

    labels = [LABELS[index % len(LABELS)] for index in range(len(texts))]
    parquet.write_table(pyarrow.table({"text": texts, "label": labels}), directory / "test.parquet")


def _write_tokenizer(directory: Path) -> int:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *(f"##{letter}" for letter in letters)]
    tokens += [word for word in WORDS if word not in tokens]
    tokenizer = Tokenizer(models.WordPiece({token: i for i, token in enumerate(tokens)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    # Baked in, as the packaged model's tokenizer has them: export must take them out.
    tokenizer.enable_truncation(16)
    tokenizer.enable_padding(length=16)
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(directory / "tokenizer.json"))
    return len(tokens)


def _spread_labels(model: object, tokenizer_file: Path) -> None:
    """Scale and centre the logits, so that every label comes out and few texts are near ties."""
    import torch
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    input_ids = torch.tensor([encoding.ids for encoding in tokenizer.encode_batch(comments(200, seed=1))])
    with torch.no_grad():
        logits = model(input_ids=input_ids, attention_mask=(input_ids != 0).long()).logits
        scale = 4 / logits.std()
        model.classifier.weight.mul_(scale)
        model.classifier.bias.copy_(-logits.mean(dim=0) * scale)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest file first: a process that came to it last would work on alone when the others are done."""
    items.sort(key=lambda item: item.path.name != "test_faults.py")


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with two layers and 520 test comments, no near ties; copy it before changing it.

    A model that has learnt something is sure of most texts, and this one has learnt nothing.
    """
    from export import checkpoint, parity

    directory = tmp_path_factory.mktemp("checkpoint") / "tiny"
    made = comments(1000)
    build_checkpoint(directory, test_texts=made)
    answers = np.sort(parity.reference(checkpoint.read(directory), made, advance=lambda _: None))
    margins = answers[:, -1] - answers[:, -2]
    write_test_split(directory, [made[index] for index in np.flatnonzero(margins > 0.15)[:520]])
    return directory


@pytest.fixture(scope="session")
def tiny_bundle(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny checkpoint's bundle, all variants; copy it before changing it."""
    from export.__main__ import main

    directory = tmp_path_factory.mktemp("bundle") / "tiny"
    assert main([str(tiny_checkpoint), "--output", str(directory)]) == 0
    return directory


@pytest.fixture(scope="session")
def other_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of another model, which gives other answers; copy it before changing it."""
    from export.__main__ import main

    checkpoint = tmp_path_factory.mktemp("other-checkpoint") / "other"
    build_checkpoint(checkpoint, test_texts=comments(600, seed=3), seed=1)
    directory = tmp_path_factory.mktemp("other-bundle") / "other"
    assert main([str(checkpoint), "--output", str(directory), "--variants", "cpu"]) == 0
    return directory
