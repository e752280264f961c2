"""Names, places and pronouns that a model cannot tell apart."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedTokenizerBase

from finetune import alike, base_model

WORD = "ba"  # in the vocabulary of tiny_bert


@pytest.fixture
def tokenizer(tiny_bert: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of tiny_bert, which knows no name, after `add`."""
    tokenizer = base_model.load_tokenizer(tiny_bert)
    alike.add(tokenizer)
    return tokenizer


@pytest.fixture
def model(tiny_bert: Path, tokenizer: PreTrainedTokenizerBase) -> Any:
    """tiny_bert with a classification layer, after `merge`."""
    model: Any = base_model.load_classifier(tiny_bert, "12345")
    alike.merge(model, tokenizer)
    return model.eval()


def rows(model: Any, tokenizer: PreTrainedTokenizerBase, words: list[str]) -> torch.Tensor:
    """The embeddings of words that are one token each."""
    ids = tokenizer(words, add_special_tokens=False)["input_ids"]
    return model.get_input_embeddings().weight.detach()[torch.tensor(ids).squeeze(1)].clone()


@pytest.mark.parametrize("name", ["Nkechi", "NKECHI", "nkechi", "Min-jun", "New York"])
def test_a_name_is_one_token(name: str, tokenizer: PreTrainedTokenizerBase) -> None:
    """A listed name or place is one token, large or small, whatever stands beside it."""
    assert tokenizer.tokenize(f"{WORD} {name}'s, {WORD}")[1] == name.lower()


def test_a_part_of_a_word_is_no_name(tokenizer: PreTrainedTokenizerBase) -> None:
    """A longer word that begins with a name is read as before."""
    assert "priya" in tokenizer.get_vocab()
    assert "priya" not in tokenizer.tokenize("priyanka")


def test_accents_are_left_out_where_the_model_does(tokenizer: PreTrainedTokenizerBase) -> None:
    """A name with an accent is the listed one to a model that reads none."""
    assert tokenizer.tokenize("Zoé José") == tokenizer.tokenize("Zoe Jose")
    assert tokenizer.tokenize("José") == ["jose"]


def test_capitals_are_kept_where_the_model_does(tiny_bert: Path) -> None:
    """To a model that tells capitals from small letters a listed name has its capital."""
    tokenizer = base_model.load_tokenizer(tiny_bert)
    tokenizer.backend_tokenizer.normalizer.lowercase = False
    alike.add(tokenizer)
    assert tokenizer.tokenize("Nkechi") == ["Nkechi"]
    assert tokenizer.tokenize("nkechi") != ["nkechi"]


def test_added_once(tokenizer: PreTrainedTokenizerBase) -> None:
    """A tokenizer that knows them already, as a checkpoint's does, stays as it is."""
    before = len(tokenizer)
    alike.add(tokenizer)
    assert len(tokenizer) == before


def test_words_are_alike(model: Any, tokenizer: PreTrainedTokenizerBase) -> None:
    """All names have one embedding, all places another, he and she that of they, and so on."""
    of = [rows(model, tokenizer, list(words)) for words in alike.ALIKE[:5]]
    assert all((embeddings == embeddings[0]).all() for embeddings in of)
    assert len({tuple(embeddings[0].tolist()) for embeddings in of}) == 5


def test_other_words_stay(tiny_bert: Path, model: Any, tokenizer: PreTrainedTokenizerBase) -> None:
    """What the pretrained model knows of other words stays as it is."""
    plain = base_model.load_tokenizer(tiny_bert)
    others = [word for word in plain.get_vocab() if word != "he" and word.isalpha()]
    pretrained = base_model.load_classifier(tiny_bert, "12345")
    assert len(others) > 40
    assert torch.equal(rows(model, tokenizer, others), rows(pretrained, plain, others))


def test_the_first_word_decides(tiny_bert: Path) -> None:
    """What the pretrained model knows of Alex is what it then knows of everybody."""
    tokenizer = base_model.load_tokenizer(tiny_bert)
    tokenizer.add_tokens(["alex", "maria"])
    model: Any = base_model.load_classifier(tiny_bert, "12345")
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    pretrained = rows(model, tokenizer, ["Alex"])
    alike.add(tokenizer)
    alike.merge(model, tokenizer)
    assert torch.equal(rows(model, tokenizer, ["Alex", "Maria", "Nkechi"]), pretrained.expand(3, -1))


def test_training_moves_them_as_one(model: Any, tokenizer: PreTrainedTokenizerBase) -> None:
    """Trained on a comment with one name, all have learnt the same, to the last bit, and places nothing."""
    before = {word: rows(model, tokenizer, [word]) for word in ("Nkechi", "Lagos")}
    batch = tokenizer([f"{WORD} Maria {WORD}"], return_tensors="pt")
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0)
    for _ in range(5):
        model(**batch, labels=torch.tensor([0])).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    of_names = rows(model, tokenizer, alike.NAMES)
    assert (of_names == of_names[0]).all()
    assert (of_names[0] != before["Nkechi"]).any()
    assert torch.equal(rows(model, tokenizer, ["Lagos"]), before["Lagos"])


def test_a_larger_embedding_is_not_cut(tiny_bert: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """A model with more rows than its tokenizer has words keeps them."""
    model: Any = base_model.load_classifier(tiny_bert, "12345")
    model.resize_token_embeddings(5000, mean_resizing=False)
    alike.merge(model, tokenizer)
    assert model.get_input_embeddings().num_embeddings == 5000
