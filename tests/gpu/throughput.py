"""Texts a second against their length and on the real mix, and the share of what the hardware could do."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from consumer.bundle import Device
from consumer.classifier import TOKEN_BUDGETS, Classifier
from tests.gpu import batches, clock, peak, texts
from tests.gpu.models import Model
from tests.gpu.record import Result, Verdict

LENGTHS = (32, 64, 128, 256, 512)
MIX = "real mix"
# Micro-batches of one length in a pass.
MICRO_BATCHES = 4
# The goal for BERT-base, on an H100.
GOAL_LENGTH, GOAL_SHARE = 128, 0.5
# What the budget chosen in a second must reach, on the real mix, of the rate of the fastest.
GOAL_CHOICE = 0.95


@dataclass(frozen=True)
class Measured:
    """A model's rate on some texts.

    length: tokens of a text, or the real mix
    budget: tokens of a micro-batch
    chosen: whether that is the budget that the consumer chose as it started
    alone: texts a second through the session
    tokenised: texts a second with tokenising
    share: of the operations of a matrix product that the session reached
    product: operations a second of that
    """

    model: str
    length: str
    budget: int
    chosen: bool
    alone: float
    tokenised: float
    share: float
    product: float


def measure(
    model: Model,
    device: Device,
    comments: Sequence[str],
    *,
    mix: int,
    seconds: float,
    lengths: Sequence[int] = LENGTHS,
) -> list[Measured]:
    """Measure each length, and the comments' own lengths under all budgets that the consumer tries.

    Args:
        model: what to measure.
        device: where.
        comments: whose words and whose lengths to take.
        mix: texts of the real mix in a pass.
        seconds: of each measurement.
        lengths: tokens of a text.
    """
    chosen = model.token_budget(device)
    workloads = [(str(length), chosen, _of_length(model, comments, length, chosen)) for length in lengths]
    mixed = texts.like(comments, mix)
    workloads += [(MIX, budget, mixed) for budget in TOKEN_BUDGETS[device]]
    return [
        _measured(model, device, length, budget, budget == chosen, asked, seconds)
        for length, budget, asked in workloads
    ]


def _of_length(model: Model, comments: Sequence[str], length: int, budget: int) -> list[str]:
    count = max(1, MICRO_BATCHES * budget // length)
    return texts.of_length(model.checkpoint.tokenizer, comments, length, count)


def _measured(
    model: Model,
    device: Device,
    length: str,
    budget: int,
    chosen: bool,
    asked: Sequence[str],
    seconds: float,
) -> Measured:
    counts = model.token_counts(asked)
    ready = batches.grouped(batches.drawn(counts, model.checkpoint.model.config.vocab_size), budget)
    answer = batches.answered_by(batches.session(model.bundle, device))
    before = peak.matrix_product(device, seconds / 2)
    alone = clock.seconds_a_pass(lambda: batches.answers(answer, ready), seconds)
    product = (before + peak.matrix_product(device, seconds / 2)) / 2
    classifier = Classifier(model.bundle, device=device, token_budget=budget)
    tokenised = clock.seconds_a_pass(lambda: classifier.classify(asked), seconds)
    return Measured(
        model=model.name,
        length=length,
        budget=budget,
        chosen=chosen,
        alone=len(asked) / alone,
        tokenised=len(asked) / tokenised,
        share=sum(map(model.shape.operations, counts)) / alone / product,
        product=product,
    )


def report(measured: Sequence[Measured], goal_model: str) -> Result:
    """All of it, and whether the goals are reached."""
    rows = [
        {
            "model": one.model,
            "tokens a text": one.length,
            "tokens a micro-batch": f"{one.budget:,}{', chosen' if one.chosen else ''}",
            "texts/s, model alone": one.alone,
            "of a matrix product": f"{one.share:.0%}",
            "which reaches, TFLOP/s": one.product / 1e12,
            "texts/s, tokenised too": one.tokenised,
        }
        for one in measured
    ]
    return Result(rows=rows, verdicts=[*_of_the_limit(measured, goal_model), *_of_the_choice(measured)])


def _of_the_limit(measured: Sequence[Measured], goal_model: str) -> Iterator[Verdict]:
    for one in measured:
        if (one.model, one.length) == (goal_model, str(GOAL_LENGTH)):
            yield Verdict(
                claim=f"{GOAL_SHARE:.0%} of a matrix product on an H100, {goal_model}, {GOAL_LENGTH} tokens",
                measured=f"{one.share:.0%} on this machine",
                held=one.share >= GOAL_SHARE,
                hard=False,
            )


def _of_the_choice(measured: Sequence[Measured]) -> Iterator[Verdict]:
    for chosen in measured:
        if chosen.chosen and chosen.length == MIX:
            tried = [one.alone for one in measured if (one.model, one.length) == (chosen.model, MIX)]
            share = chosen.alone / max(tried)
            yield Verdict(
                claim=f"{GOAL_CHOICE:.0%} of the best budget's rate by the one chosen, {chosen.model}",
                measured=f"{share:.0%}",
                held=share >= GOAL_CHOICE,
                hard=False,
            )
