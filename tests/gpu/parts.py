"""The parts of gpu-check, in their order: what each takes from the run, and what it measures with."""

from collections.abc import Callable, Mapping, Sequence

from tokenizers import Tokenizer

from consumer.bundle import TOKENIZER
from consumer.classifier import Classifier
from consumer.settings import Settings
from tests.gpu import (
    agreement,
    attention,
    baseline,
    batches,
    end_to_end,
    independence,
    memory,
    texts,
    throughput,
    training,
)
from tests.gpu.batches import Batch
from tests.gpu.models import Model
from tests.gpu.record import Figure, Result
from tests.gpu.run import Run
from tests.gpu.throughput import Measured

# Agreement of 99.5 % of so many texts is known to within 0.3 % (95 % confidence).
TEXTS = 2_000
# As many as the consumer takes at once where the device is fast.
MIX: int = Settings.model_fields["max_batch_messages"].default
# The length at which attention is compared, beside the real mix.
LENGTH = 128
# Kafka's clients and the batch bound take a while to find their pace.
KAFKA_SECONDS = 15.0

Part = Callable[[Run], Result]


def fine_tuning(run: Run) -> Result:
    """Steps a second in bf16, and whether the loss falls."""
    return training.report(run.trained)


def golden(run: Run) -> Result:
    """Export, and the golden comments."""
    return agreement.golden(run.bundle, run.device)


def agreement_with_fp32(run: Run) -> Result:
    """The same labels as fp32."""
    run.say(f"{TEXTS:,} texts, on the device and in fp32 on the CPU")
    return agreement.with_fp32(run.bundle, run.device, texts.different(run.comments, TEXTS))


def independence_of_the_batch(run: Run) -> Result:
    """The same answer whatever shares the batch."""
    tokenizer = Tokenizer.from_file(str(run.bundle.path(TOKENIZER)))
    [long] = texts.of_length(tokenizer, run.comments, run.bundle.manifest.max_length, 1)
    classifier = Classifier(run.bundle, device=run.device)
    run.say(f"{TEXTS:,} texts, alone and in company")
    asked = texts.different(run.comments, TEXTS)
    return independence.check(classifier.classify, asked, long=long, short="ok")


def throughput_by_length(run: Run) -> Result:
    """Texts a second by length, and the share of a matrix product."""
    measured: list[Measured] = []
    for model in (run.minilm, run.bert_base):
        run.say(f"{model.name}: texts/s by length and on the real mix")
        measured += throughput.measure(model, run.device, run.comments, mix=MIX, seconds=run.seconds)
    return throughput.report(measured, goal_model=run.bert_base.name)


def packing_and_attention(run: Run) -> Result:
    """Padded, packed, and two kinds of packed attention."""
    rows: list[dict[str, Figure]] = []
    for model in (run.minilm, run.bert_base):
        run.say(f"{model.name}: attention, padded and packed")
        budget = model.token_budget(run.device)
        vocabulary = model.checkpoint.model.config.vocab_size
        tokens = batches.drawn([LENGTH] * (throughput.MICRO_BATCHES * budget // LENGTH), vocabulary)
        workloads = {
            f"{LENGTH} tokens": batches.grouped(tokens, budget),
            "real mix": _real_mix(run, model, budget),
        }
        built = attention.graphs(model.checkpoint)
        rows += attention.compare(model, built, run.device, workloads, run.logs, seconds=run.seconds)
    return attention.report(rows)


def against_transformers(run: Run) -> Result:
    """Ours against `transformers`."""
    rows: list[dict[str, Figure]] = []
    for model in (run.minilm, run.bert_base):
        run.say(f"{model.name}: against transformers, with and without torch.compile")
        mix = _real_mix(run, model, model.token_budget(run.device))
        rows += baseline.compare(model, run.device, mix, seconds=run.seconds)
    return baseline.report(rows)


def through_kafka(run: Run) -> Result:
    """End to end."""
    return end_to_end.run(run.bundle, run.device, run.comments, run.logs, seconds=KAFKA_SECONDS, say=run.say)


def memory_over_time(run: Run) -> Result:
    """Memory over many batches."""
    model = run.minilm
    run.say(f"{memory.BATCHES:,} batches of random shapes")
    points = memory.watch(
        batches.answered_by(batches.session(model.bundle, run.device)),
        run.device,
        vocabulary=model.checkpoint.model.config.vocab_size,
        longest=model.checkpoint.window.max_length,
        token_budget=model.token_budget(run.device),
    )
    return memory.report(points, memory.BATCHES)


PARTS: Mapping[str, Part] = {
    "fine-tuning": fine_tuning,
    "golden": golden,
    "agreement": agreement_with_fp32,
    "independence": independence_of_the_batch,
    "throughput": throughput_by_length,
    "attention": packing_and_attention,
    "transformers": against_transformers,
    "kafka": through_kafka,
    "memory": memory_over_time,
}


def _real_mix(run: Run, model: Model, budget: int) -> Sequence[Batch]:
    counts = model.token_counts(texts.like(run.comments, MIX))
    tokens = batches.drawn(counts, model.checkpoint.model.config.vocab_size)
    return batches.grouped(tokens, budget)
