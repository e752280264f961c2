"""Checkpoint -> bundle: the order of the steps."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from consumer import bundle
from consumer.bundle import Agreement, Bundle, GoldenComment, Manifest, Variant, VariantName
from consumer.classifier import Classifier
from consumer.errors import DeviceError, GoldenMismatch
from export import graph, normalisation, parity, precision, quantisation
from export.checkpoint import Checkpoint
from export.errors import ExportError, ParityError
from export.progress import counted
from export.texts import Texts


@dataclass(frozen=True)
class Outcome:
    """A variant that was written.

    Attributes:
        variant: as bundle.json describes it.
        size: of its file, bytes.
        unchecked: why this machine could not run it, None where it could.
        rehearsal: where it could not, how its fp16 graph with attention unpacked compared on the CPU.
    """

    variant: Variant
    size: int
    unchecked: str | None = None
    rehearsal: Agreement | None = None


@dataclass(frozen=True)
class Written:
    """What a bundle was made of: the variants it has, and why it lacks others that were optional."""

    outcomes: dict[VariantName, Outcome]
    left_out: dict[VariantName, str]


def write(
    checkpoint: Checkpoint,
    destination: Path,
    *,
    name: str,
    variants: Sequence[VariantName],
    optional: Collection[VariantName],
    texts: Texts,
    golden_texts: Sequence[str],
    step: Callable[[str], None],
) -> Written:
    """Write the bundle, or nothing at all.

    Args:
        checkpoint: what to export.
        destination: the bundle's directory; a bundle already there is replaced at the last moment.
        name: the model's name, which the consumer puts into every labelled message.
        variants: which to write.
        optional: which of them to leave out where they are outside their limits, and go on.
        texts: what to compare them on.
        golden_texts: the comments that the bundle carries as its proof.
        step: told in words what comes next.

    Raises:
        ExportError: the checkpoint cannot be exported, or a variant is outside its limits.
        UrgencyRouterError: the consumer cannot load a variant, or gets other golden comments.
    """
    writers = {"cpu": _write_fp32, "cpu-int8": _write_int8, "cuda": _write_fp16}
    _refuse_other_contents(destination)
    with bundle.staged(destination) as staging:
        step(f"fusing a graph of {checkpoint.model.config.num_hidden_layers} layers")
        fused = graph.fused(checkpoint)
        step(
            f"asking PyTorch fp32 about {len(golden_texts)} golden comments and {len(texts.texts)} texts to"
            f" compare ({texts.whole} whole comments, {len(texts.texts) - texts.whole} pieces of comments)"
        )
        with counted("PyTorch", len(golden_texts) + len(texts.texts)) as advance:
            golden = parity.golden_comments(checkpoint, golden_texts, advance=advance)
            expected = parity.reference(checkpoint, texts.texts, advance=advance)
        checkpoint.tokenizer.save(str(staging / bundle.TOKENIZER))
        bundle.write_golden(staging, golden)
        candidate = _Candidate(staging, checkpoint, tuple(golden), texts.texts, expected)
        written = Written({}, {})
        for variant in variants:
            step(f"writing the {variant} variant and comparing it")
            try:
                written.outcomes[variant] = writers[variant](candidate, fused)
            except (ParityError, GoldenMismatch) as error:
                if variant not in optional:
                    raise
                written.left_out[variant] = _finding(error)
                (staging / _file(variant)).unlink()
        step("sealing the bundle")
        bundle.seal(
            staging,
            name=name,
            labels=checkpoint.labels,
            window=checkpoint.window,
            variants={name: outcome.variant for name, outcome in written.outcomes.items()},
            training={
                "temperature": checkpoint.temperature,
                "measures": checkpoint.measures,
                "labels": checkpoint.label_counts,
            },
        )
    return written


@dataclass(frozen=True)
class _Candidate:
    """A bundle that still lacks bundle.json, which is written last and makes it whole.

    `expected` is what PyTorch answers to `texts`, [texts, labels].
    """

    directory: Path
    checkpoint: Checkpoint
    golden: tuple[GoldenComment, ...]
    texts: tuple[str, ...]
    expected: NDArray[np.float32]

    def load(self, name: VariantName, variant: Variant) -> Classifier:
        """Load a variant as the consumer will."""
        manifest = Manifest(
            format=bundle.FORMAT,
            name="candidate",
            version="0" * 12,
            labels=self.checkpoint.labels,
            **self.checkpoint.window._asdict(),
            variants={name: variant},
            files={},
            training={},
        )
        return Classifier(
            Bundle(self.directory, manifest, self.golden),
            device="cuda" if name == "cuda" else "cpu",
            precision="int8" if name == "cpu-int8" else "default",
        )

    def check(self, name: VariantName, classifier: Classifier) -> Agreement:
        """Compare a variant on the texts and run the golden comments through it as the consumer will."""
        with counted(f"ONNX Runtime, {name}", len(self.texts)) as advance:
            agreement = parity.measure(classifier, self.texts, self.expected, advance=advance)
        parity.require(name, agreement)
        parity.require_independence(name, parity.dependence(classifier, self.texts))
        classifier.prove()
        return agreement


def _write_fp32(candidate: _Candidate, fused: ModelProto) -> Outcome:
    variant = _variant("cpu", "fp32")
    on_cpu = normalisation.apart(fused, candidate.checkpoint.model.config)
    size = graph.save(on_cpu, candidate.directory / variant.file)
    agreement = candidate.check("cpu", candidate.load("cpu", variant))
    return Outcome(variant.model_copy(update={"agreement": agreement}), size)


def _write_int8(candidate: _Candidate, fused: ModelProto) -> Outcome:
    variant = _variant("cpu-int8", "int8")
    config = candidate.checkpoint.model.config
    quantised = normalisation.apart(quantisation.int8(fused, config), config)
    size = graph.save(quantised, candidate.directory / variant.file)
    agreement = candidate.check("cpu-int8", candidate.load("cpu-int8", variant))
    return Outcome(variant.model_copy(update={"agreement": agreement}), size)


def _write_fp16(candidate: _Candidate, fused: ModelProto) -> Outcome:
    config = candidate.checkpoint.model.config
    half = precision.half(fused, config)
    variant = _variant("cuda", "fp16")
    size = graph.save(precision.packed(half, config), candidate.directory / variant.file)
    try:
        classifier = candidate.load("cuda", variant)
    except DeviceError as error:
        # What comes after the semicolon is advice to who starts the consumer.
        reason = str(error).partition(";")[0]
        return Outcome(variant, size, unchecked=reason, rehearsal=_rehearse(candidate, half))
    return Outcome(variant.model_copy(update={"agreement": candidate.check("cuda", classifier)}), size)


def _rehearse(candidate: _Candidate, half: ModelProto) -> Agreement:
    """Compare the fp16 graph on the CPU, which has no packed attention but rounds as fp16 does.

    The golden comments are enough to see an overflow or a lost weight.
    """
    variant = _variant("cuda", "fp16").model_copy(update={"file": "rehearsal.onnx"})
    path = candidate.directory / variant.file
    graph.save(half, path)
    classifier = candidate.load("cpu", variant)
    path.unlink()
    texts = [comment.text for comment in candidate.golden]
    expected = np.array([comment.probabilities for comment in candidate.golden], dtype=np.float32)
    with counted("ONNX Runtime, fp16 on the CPU", len(texts)) as advance:
        agreement = parity.measure(classifier, texts, expected, advance=advance)
    parity.require("cuda", agreement)
    return agreement


def _variant(name: VariantName, number_format: Literal["fp32", "fp16", "int8"]) -> Variant:
    return Variant(
        file=_file(name), precision=number_format, tolerance=parity.LIMITS[name].tolerance, agreement=None
    )


def _file(name: VariantName) -> str:
    return f"model.{name}.onnx"


def _finding(error: ParityError | GoldenMismatch) -> str:
    # What comes after the semicolon is advice to who starts the consumer.
    return error.finding if isinstance(error, ParityError) else str(error).partition(";")[0]


def _refuse_other_contents(destination: Path) -> None:
    """Guard what is not a bundle from being replaced by one."""
    if not destination.exists() or (destination / bundle.MANIFEST).is_file():
        return
    if not destination.is_dir() or any(destination.iterdir()):
        raise ExportError(
            f"{destination} exists and is no bundle, and would be replaced: give --output another directory"
        )
