"""Training comments with a sentence added about somebody or some place, which are not to matter.

The names and places are not in `finetune.alike`, which a model cannot tell apart anyway. Neither they nor the
sentences are in `finetune.cases`, which measures what has come of it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import Dataset
from torch.utils import data
from transformers import PreTrainedTokenizerBase

from consumer.window import Window
from finetune.tokenising import token_ids

INSERTED = 0.3  # share of comments that get a sentence

_NAMES = (
    "Grace Mark Will Hope Rose Jack Faith Joy Lily Ruby Miles Grant Dawn Holly Iris Max Pat Bill Sue "
    "Penny Daisy Amber Crystal Chase Guy Rich Drew Angel Christian Summer Aurelius Bahar Branwen Chukwuma "
    "Dilshad Dusan Eszter Fikret Folasade Gintaras Gyongyi Hrvoje Ilinca Ixchel Jolanta Kalani Kamaria "
    "Lamiaa Lerato Lubomir Makena Mandla Marisela Mehwish Nazanin Nomsa Oyelaran Pranav Purnima Quetzal "
    "Rasheeda Rukmini Sunniva Tadeusz Temitope Thulani Ulises Vaibhav Wambui Xolani Yamileth Yevheniya "
    "Zdenek Zivile"
)
_PLACES = (
    "Bath Reading Cork Nice Turkey Derby Queens Hull Mobile Buffalo Cologne Aarau Bacolod Bydgoszcz "
    "Chimoio Drogheda Eskilstuna Francistown Gjirokaster Guwahati Hamamatsu Iquitos Jyvaskyla Kaohsiung "
    "Kecskemet Limassol Lubumbashi Mbombela Oaxaca Paramaribo Pietermaritzburg Queretaro Ruse Scunthorpe "
    "Sundsvall Szolnok Tongeren Ushuaia Varanasi Wodonga Yamoussoukro Zenica"
)
NAMES, PLACES = _NAMES.split(), _PLACES.split()
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
    "A friend was with me, and she read the manual.",
    "I showed it to a neighbour, and he asked where I got it.",
    "My cousin has one too, as she told me.",
    "A colleague helped me, since he had time.",
    "There was a salesperson, and I spoke with her for a while.",
    "A student lives with us, and I bought it with him.",
    "My flatmate put it into her room.",
    "An uncle of mine has written his name on it.",
    "The person at the door said that she was new.",
    "Somebody at work wanted to know what it was, so I told them.",
)


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
    """Give a comment as it is, or with a sentence that says nothing of the matter."""
    if draw.random() < INSERTED:
        sentence = str(draw.choice(SENTENCES)).format(name=draw.choice(NAMES), place=draw.choice(PLACES))
        text = f"{sentence} {text}" if draw.random() < 0.5 else f"{text} {sentence}"
    return text
