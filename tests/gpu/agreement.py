"""The exported model on its device: the golden comments, and agreement with fp32 on many texts."""

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

from consumer import bundle
from consumer.bundle import Agreement, Bundle, Device
from consumer.classifier import Classifier
from consumer.errors import GoldenMismatch, one_line
from export import parity
from export.__main__ import main as export
from tests.gpu.record import Result, Verdict

LEAST_AGREEMENT = 0.995


def exported(checkpoint: Path, directory: Path, device: Device, log: Path) -> Bundle:
    """Export the variants for the device and, to compare with, for the CPU.

    Raises:
        RuntimeError: the export failed.
    """
    variants = dict.fromkeys(["cpu", device])
    arguments = [str(checkpoint), "--output", str(directory), "--variants", *variants]
    with log.open("w") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        code = export(arguments)
    if code:
        raise RuntimeError(f"the export ended with code {code}: {log.read_text().strip().splitlines()[-1]}")
    return bundle.read(directory)


def golden(of: Bundle, device: Device) -> Result:
    """What the variant is, and whether it gives the golden comments the answers of PyTorch fp32."""
    started = time.perf_counter()
    classifier = Classifier(of, device=device)
    loaded = time.perf_counter()
    mismatch = None
    try:
        classifier.prove()
    except GoldenMismatch as error:
        mismatch = one_line(error)
    variant = of.manifest.variants[device]
    row = {
        "variant": device,
        "precision": variant.precision,
        "MB": of.path(variant.file).stat().st_size / 1e6,
        "seconds to load and warm up": loaded - started,
        "seconds for the golden comments": time.perf_counter() - loaded,
    }
    verdict = Verdict(
        claim="the golden comments match",
        measured=mismatch or f"{len(of.golden)}, together and one by one",
        held=mismatch is None,
        hard=True,
    )
    return Result(rows=[row], verdicts=[verdict])


def with_fp32(of: Bundle, device: Device, texts: Sequence[str]) -> Result:
    """How the device's variant compares with the fp32 one, which runs on the CPU."""
    expected = Classifier(of, device="cpu").classify(texts)
    agreement = parity.measure(Classifier(of, device=device), texts, expected, advance=lambda count: None)
    row = {
        "texts": agreement.texts,
        "labels as fp32": f"{agreement.label_agreement:.2%}",
        "largest difference of a probability": agreement.largest_probability_difference,
    }
    return Result(rows=[row], verdicts=[enough(agreement)])


def enough(agreement: Agreement) -> Verdict:
    """Whether as many labels agree as must."""
    share = agreement.label_agreement
    return Verdict(
        claim=f"at least {LEAST_AGREEMENT:.1%} of labels are those of fp32",
        measured=f"{share:.2%} of {agreement.texts:,}",
        held=share >= LEAST_AGREEMENT,
        hard=True,
    )
