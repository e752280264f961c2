"""What a model of urgency should get right whatever it was trained on, as in CheckList (Ribeiro et al. 2020).

A pair says the same twice, and the urgency must not change. A demand is a comment with the urgencies that
would be wrong. All sentences were written for this project.
"""

import itertools
import random
import string
from collections.abc import Callable, Iterable, Sequence
from importlib import resources
from typing import NamedTuple

from finetune.data import TEXT_COLUMN, read_rows

SEED = 0
PAIRS = 200  # of each kind, less those that the change leaves as they are
SLOT_PAIRS = 400  # of names, places and pronouns, each: a failure rate below 1 % needs as many
SHORTEST_WITH_TYPO = 5  # letters; a slip in a shorter word makes another word

# Where in the routes, which run from the most urgent to the least.
MOST_URGENT, LEAST_URGENT = 0, -1


class Pair(NamedTuple):
    """Two texts that must get the same urgency."""

    text: str
    changed: str


class Demand(NamedTuple):
    """A text that must not get the urgency at this place of the routes; with `only`, must get that one."""

    text: str
    place: int
    only: bool = False


class Capability(NamedTuple):
    """What is tested, and its cases, all of one kind.

    required: whether a checkpoint that fails more often than `finetune.behaviour.MOST_FAILURES` is not good
    """

    name: str
    cases: Sequence[Pair] | Sequence[Demand]
    required: bool = False


_NAMES = (
    "Maria James Aisha Wei Olga Carlos Fatima Tom Priya Kwame Yuki Ingrid Ahmed Chloe Dmitri Leila Samuel "
    "Nkechi Mateo Hannah Ravi Jamal Emily Mohammed Sofia Thandi Pierre Min-jun Guadalupe Lars"
)
NAMES = _NAMES.split()
_PLACES = (
    "London Lagos Mumbai Chicago Berlin Cairo Toronto Warsaw Nairobi Osaka Lima Dublin Karachi Seoul Houston "
    "Lyon Istanbul Manila Oslo Detroit Tehran Madrid Bogota Kyiv Perth Shanghai Leeds Algiers Prague Hanoi"
)
PLACES = _PLACES.split()
# Some that `finetune.alike` does not list, so that what a model makes of them is what it has learnt.
_UNLISTED_NAMES = (
    "Anneke Bertil Chayton Dagny Eirlys Ffion Gwydion Hinemoa Isaura Jorild Keoni Lwazi Maelys Nayara "
    "Ottoline Parisa Quirin Rimsha Saskia Takumi Ugochi Vesna Wiremu Xhesika Ylva Zofia Thandeka Ishaan "
    "Bronagh Mireia"
)
UNLISTED_NAMES = _UNLISTED_NAMES.split()
_UNLISTED_PLACES = (
    "Alkmaar Bendigo Chiclayo Durres Esbjerg Falun Gifu Hilo Ibague Jaffna Kisumu Latina Mwanza Nakuru "
    "Ostend Pelotas Quimper Rovaniemi Sligo Tralee Umea Vantaa Whangarei Xalapa Ystad Zwolle Hobro Turpan "
    "Waco Yakima"
)
UNLISTED_PLACES = _UNLISTED_PLACES.split()
# The templates put verbs into a form that all of them take.
PRONOUNS = (
    {"he": "he", "him": "him", "his": "his"},
    {"he": "she", "him": "her", "his": "her"},
    {"he": "they", "him": "them", "his": "their"},
)

THINGS = ("phone", "blender", "jacket", "keyboard", "tent", "printer", "coffee machine", "bicycle lamp")
WITH_NAME = (
    "{name} from the support team solved my problem in five minutes.",
    "{name} from the support team hung up on me twice.",
    "I bought this kettle for my friend {name}, who uses it every day.",
    "I bought this kettle for my friend {name}, and it leaked on the first day.",
    "My neighbour {name} recommended this lamp, and I am glad I listened.",
    "My neighbour {name} warned me about this lamp, and I should have listened.",
    "The driver, {name}, carried the heavy box up to the fourth floor.",
    "The driver, {name}, threw the box over the fence and the screen is cracked.",
    "{name} and I have cooked with this pan for a year and it looks new.",
    "{name} and I have cooked with this pan for a week and the coating peels off.",
    "The technician {name} came, looked at the boiler and left without a word. We are still without heating.",
    "The parcel was meant for {name}. It has been lost for three weeks and nobody answers.",
    "It is an ordinary charger. {name} says that the old one was a little faster.",
    "My son {name} likes the puzzle, though two of the pieces do not fit well.",
    "Please tell {name} that the new filter works perfectly. Thank you.",
    "I was charged twice, and {name} at the desk told me to wait for a month.",
)
WITH_PLACE = (
    "The parcel reached {place} a day earlier than promised.",
    "The parcel has been stuck in {place} for three weeks and nobody can tell me why.",
    "I took this backpack to {place} and it held up wonderfully.",
    "I took this backpack to {place} and the strap tore on the first morning.",
    "Their shop in {place} replaced the watch at once, no questions asked.",
    "Their shop in {place} refused to take the broken watch back.",
    "I use the app on my way to work in {place}, and it has never let me down.",
    "I use the app on my way to work in {place}, and it crashes every single time.",
    "We live in {place}, where the water is hard, and the machine still makes excellent coffee.",
    "We live in {place}, where the water is hard, and the machine died after a month.",
    "The jacket was sent from {place}. It fits, the colour is a bit duller than in the picture.",
    "Ordered from {place}, arrived today. It does what it should, no more and no less.",
    "The seller in {place} sent an empty box and does not answer my messages. I want my money back.",
    "A friend from {place} gave me this tea and now I order it every month.",
    "The map of {place} is two years old, which is a pity, but it is still useful.",
    "My card was charged in {place}, where I have never been. Please block it immediately.",
)
WITH_PRONOUN = (
    "My doctor recommended this {thing}, and {he} could not have been more right.",
    "I gave the {thing} to a colleague, and {he} gave it back after an hour because of the noise.",
    "The agent was patient with my questions about the {thing}, and I want to thank {him} for it.",
    "The agent was rude when I called about the {thing}, and I never want to speak to {him} again.",
    "My cousin said the {thing} saved {his} holiday.",
    "My cousin said the {thing} burned {his} hand.",
    "The electrician said that {he} would never buy a {thing} of this brand, since the plastic melts.",
    "I asked the seller of the {thing} for a refund, and {he} simply stopped answering.",
    "A friend uses this {thing} at {his} work every day and loves it.",
    "The nurse told us that {he} had seen this {thing} fail before, and it did.",
    "The teacher takes the {thing} to {his} lessons and finds it acceptable, if a bit heavy.",
    "The courier with the {thing} left {his} number and called before coming. Great service.",
    "The courier did not leave {his} number and took the {thing} away again. Third time this week.",
    "My partner likes the {thing}, but {he} would have chosen another colour.",
)
NEUTRAL = (
    "I ordered it on a Tuesday.",
    "The box is brown.",
    "I live on the second floor.",
    "It was for the kitchen.",
    "There was a leaflet with it.",
    "I am writing this on my phone.",
    "The order had two items.",
    "It came in the afternoon.",
)

NOT_GOOD = (
    "This {thing} is not good.",
    "I am not happy with this {thing}.",
    "I would not recommend this {thing} to anyone.",
    "The {thing} does not work.",
    "The {thing} never worked as it should.",
    "I don't like this {thing} at all.",
    "Nobody in my family is satisfied with the {thing}.",
    "I thought the {thing} would be great. It is not.",
    "The {thing} isn't worth the money.",
    "Nothing about this {thing} is well made.",
)
NOT_BAD = (
    "This {thing} is not bad at all.",
    "Not bad at all, this {thing}. I would buy it again.",
    "I have no complaints about this {thing}.",
    "The {thing} has never failed me.",
    "I cannot say anything bad about the {thing}.",
    "There is nothing wrong with this {thing}, I like it.",
    "No problems whatsoever with the {thing}.",
    "I expected the {thing} to be bad. It is not, it is really good.",
)
SARCASM = (
    "Great, another {thing} that breaks after a week. Just what I needed.",
    "Wow, the {thing} lasted a whole two days. What a miracle of engineering.",
    "Congratulations, you have managed to build a {thing} that does nothing.",
    "I love paying full price for a {thing} that arrives in pieces.",
    "Thanks for the {thing}. It makes a wonderful paperweight.",
    "Five stars for the fastest way to lose money: this {thing}.",
    "What a fantastic {thing}, if you enjoy calling customer service every morning.",
    "Brilliant idea to ship a {thing} without its power supply. Well done.",
)
URGENT_AND_CALM = (
    "Hello, my {thing} gives off smoke when it is plugged in. Could you tell me today what to do? Thank you.",
    "Good morning. The {thing} gave my daughter an electric shock. Please call me back as soon as you can.",
    "Kind request: I was charged twice for the {thing} and rent is due tomorrow. Please refund one of them.",
    "Dear team, someone else has access to my account and ordered a {thing}. Please lock it right away.",
    "Hi, the battery of the {thing} is swelling and getting hot. May I ask for advice before tonight?",
    "Would you kindly stop the delivery of the {thing}? It is going to the wrong address this afternoon.",
)
ANGRY_AND_CONTENT = (
    "I am furious with myself that I did not buy this {thing} years ago. It is superb.",
    "Damn, this {thing} is good. I hate how much I love it.",
    "I was mad at the price at first, but this {thing} is worth every cent.",
    "I hate shopping, I hate waiting, but this {thing} is perfect.",
    "My old {thing} was a disaster that drove me crazy. This one is excellent.",
    "Terribly good, insanely good, stupidly good: that is this {thing}.",
)


def capabilities() -> tuple[Capability, ...]:
    """Return every capability with its cases, the same ones at each call."""
    draw = random.Random(SEED)  # noqa: S311 nothing secret
    comments = _comments(draw)
    return (
        Capability("names swapped", _swapped(WITH_NAME, _each("name", NAMES), draw), required=True),
        Capability("places swapped", _swapped(WITH_PLACE, _each("place", PLACES), draw), required=True),
        Capability("pronouns swapped", _swapped(WITH_PRONOUN, PRONOUNS, draw), required=True),
        Capability("unlisted names swapped", _swapped(WITH_NAME, _each("name", UNLISTED_NAMES), draw)),
        Capability("unlisted places swapped", _swapped(WITH_PLACE, _each("place", UNLISTED_PLACES), draw)),
        Capability("typos", _changed(comments, lambda text: _with_typos(text, draw))),
        Capability("a neutral sentence added", _changed(comments, lambda text: _with_neutral(text, draw))),
        Capability("ALL CAPS", _changed(comments, str.upper)),
        Capability("negation", _demands(NOT_GOOD, LEAST_URGENT)),
        Capability("not bad at all", _demands(NOT_BAD, MOST_URGENT)),
        Capability("sarcasm", _demands(SARCASM, LEAST_URGENT)),
        Capability("urgency without anger", _demands(URGENT_AND_CALM, MOST_URGENT, only=True)),
        Capability("anger without urgency", _demands(ANGRY_AND_CONTENT, MOST_URGENT)),
    )


def _comments(draw: random.Random) -> list[str]:
    """Some of the sample's comments."""
    with resources.as_file(resources.files("finetune") / "sample" / "comments.tsv") as path:
        texts = [row.text for row in read_rows(path, text_column=TEXT_COLUMN)]
    return draw.sample(texts, PAIRS)


def _each(slot: str, words: Iterable[str]) -> list[dict[str, str]]:
    return [{slot: word} for word in words]


def _swapped(templates: Sequence[str], fillings: Sequence[dict[str, str]], draw: random.Random) -> list[Pair]:
    pairs = {
        Pair(*(template.format(thing=thing, **filling) for filling in two)): None
        for template in templates
        for two in itertools.combinations(fillings, 2)
        for thing in THINGS
    }
    return draw.sample(list(pairs), min(SLOT_PAIRS, len(pairs)))


def _changed(comments: Sequence[str], change: Callable[[str], str]) -> list[Pair]:
    pairs = (Pair(text, change(text)) for text in comments)
    return [pair for pair in pairs if pair.text != pair.changed]


def _with_typos(text: str, draw: random.Random) -> str:
    """Two words with two inner letters in the wrong order."""
    words = text.split(" ")
    long = [
        place for place, word in enumerate(words) if len(word.strip(string.punctuation)) >= SHORTEST_WITH_TYPO
    ]
    for place in draw.sample(long, min(2, len(long))):
        letters = list(words[place])
        at = draw.randrange(1, SHORTEST_WITH_TYPO - 2)
        letters[at], letters[at + 1] = letters[at + 1], letters[at]
        words[place] = "".join(letters)
    return " ".join(words)


def _with_neutral(text: str, draw: random.Random) -> str:
    sentence = draw.choice(NEUTRAL)
    return draw.choice((f"{sentence} {text}", f"{text} {sentence}"))


def _demands(templates: Iterable[str], place: int, *, only: bool = False) -> list[Demand]:
    return [Demand(template.format(thing=thing), place, only) for template in templates for thing in THINGS]
