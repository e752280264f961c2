"""Training comments with a sentence about somebody added, or with other pronouns: neither is to matter.

Counterfactual data augmentation: Lu et al. 2020, "Gender Bias in Neural Natural Language Processing". Reviews
hold few names, and what a model makes of one is chance otherwise. Sentences, names and places are others than
in `finetune.cases`, which measures what has come of it.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import Dataset
from torch.utils import data
from transformers import PreTrainedTokenizerBase

from consumer.window import Window
from finetune.tokenising import token_ids

INSERTED = 0.3  # share of comments that get a sentence
EXCHANGED = 0.5  # share of comments in which every pronoun is exchanged

_NAMES = (
    "Anna Peter Kofi Mei Elena Diego Amina Jack Anjali Chidi Sakura Freja Omar Louise Ivan Yasmin Daniel "
    "Ngozi Javier Ruth Arjun Malik Sarah Hassan Lucia Sipho Jean Rosa Erik Patricia Kevin Fatou Hiro Zeynep "
    "Tariq Bianca Oleg Nia Paulo Greta Andrew Lin Keisha Mohan Astrid Babajide Teresa Cheng Zanele Viktor "
    "Ana Robert Imani Sanjay Camille Stefan Adaeze Luis Noor Helen Darius Xin Marta Abdul Linda Tunde Kenji "
    "Paula Igor Shreya Ali Julie Kwabena Ines Michael Aaliyah Bo Valentina Youssef Karen Rahul Siobhan "
    "Manuel Latoya Jun Elif David Nadia Andrei Grace Farid"
)
_PLACES = (
    "Paris Accra Delhi Boston Vienna Tunis Montreal Krakow Kampala Kyoto Quito Cork Lahore Busan Dallas "
    "Nice Ankara Cebu Bergen Cleveland Baghdad Seville Cali Odessa Sydney Beijing York Oran Brno Saigon "
    "Rome Kano Chennai Denver Hamburg Rabat Calgary Gdansk Kigali Nagoya Santiago Galway Multan Incheon "
    "Phoenix Lille Izmir Davao Malmo Tampa"
)
NAMES, PLACES = _NAMES.split(), _PLACES.split()
_PEOPLE = (("he", "him", "his"), ("she", "her", "her"), ("they", "them", "their"))
SENTENCES = (
    "{name} was there when I opened it.",
    "I read this out to {name}.",
    "{name} and I share a flat.",
    "My colleague {name} has the same one.",
    "It is for {name}.",
    "I asked {name} as well.",
    "{name} took the picture.",
    "It was {name} who ordered it.",
    "My sister is called {name}.",
    "{name} lives next door.",
    "I had it sent to {name}.",
    "The name on the order is {name}.",
    "I live in {place}.",
    "We moved here from {place}.",
    "It is for our flat in {place}.",
    "I wrote this on the train to {place}.",
    "My family is in {place}.",
    "I am from {place}.",
    "They sent it by way of {place}.",
    "I had ordered it to {place}.",
    "A friend was with me, and {he} read the manual.",
    "I showed it to a neighbour, and {he} asked where I got it.",
    "My cousin has one too, as {he} told me.",
    "A colleague helped me, since {he} had time.",
    "There was a salesperson, and I spoke with {him} for a while.",
    "A student lives with us, and I bought it with {him}.",
    "My flatmate put it into {his} room.",
    "An uncle of mine has written {his} name on it.",
    "The person at the door said that {he} was new.",
    "Somebody at work wanted to know what it was, so I told {him}.",
)
_PRONOUN = re.compile(r"\b(he|she|him|his|himself|hers?|herself)\b(?=( \w)?)", re.IGNORECASE)
_EXCHANGES = {
    "he": "she",
    "she": "he",
    "him": "her",
    "his": "her",
    "himself": "herself",
    "herself": "himself",
    "hers": "his",
}


class Varied(data.Dataset[dict[str, Any]]):
    """A split whose comments are varied anew in each epoch, alike for the same seed.

    Attributes:
        epoch: which one it is; set it before each.
        lengths: tokens of each comment as it is.
    """

    def __init__(self, split: Dataset, tokenizer: PreTrainedTokenizerBase, window: Window, seed: int) -> None:
        self.epoch = 0
        self.lengths: Sequence[int] = split.data.column("length").to_pylist()
        self._split = split
        self._tokenizer = tokenizer
        self._window = window
        self._seed = seed

    def __len__(self) -> int:
        return len(self._split)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = self._split[index]
        text = varied(row["text"], np.random.default_rng((self._seed, self.epoch, index)))
        [ids] = token_ids(self._tokenizer, [text], self._window)
        return {"input_ids": ids, "labels": row["labels"]}


def varied(text: str, draw: np.random.Generator) -> str:
    """Give a comment as it is, or with a sentence that says nothing of the matter, or with other pronouns."""
    if draw.random() < EXCHANGED:
        text = _PRONOUN.sub(_exchanged, text)
    if draw.random() < INSERTED:
        he, him, his = draw.choice(_PEOPLE)
        sentence = str(draw.choice(SENTENCES)).format(
            name=draw.choice(NAMES), place=draw.choice(PLACES), he=he, him=him, his=his
        )
        text = f"{sentence} {text}" if draw.random() < 0.5 else f"{text} {sentence}"
    return text


def _exchanged(found: re.Match[str]) -> str:
    pronoun, before_a_word = found[1], found[2]
    other = _EXCHANGES.get(pronoun.lower()) or ("his" if before_a_word else "him")
    return other.capitalize() if pronoun[0].isupper() else other
