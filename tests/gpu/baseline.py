"""What people run on a GPU: `transformers` with SDPA in fp16, and the same under `torch.compile`."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from consumer.bundle import Device
from consumer.errors import one_line
from export.checkpoint import Checkpoint
from tests.gpu import batches, clock, models, peak
from tests.gpu.batches import Answer, Batch
from tests.gpu.models import Model
from tests.gpu.record import Figure, Result, Verdict

OURS = "urgency-router"
GOAL = 1.5
SDPA = "transformers, SDPA"
NOTHING = {"texts/s": "", "seconds to start": "", "largest difference from ours": ""}
Prepare = Callable[[Any], Any]
# One graph for all shapes: a graph for each would take longer to compile than any batch to run.
CONTESTANTS: Mapping[str, Prepare] = {
    SDPA: lambda model: model,
    f"{SDPA}, torch.compile": partial(torch.compile, dynamic=True),
}


def answered_by(checkpoint: Checkpoint, device: Device, prepare: Prepare) -> Answer:
    """`transformers` with SDPA on the device, fp16 on a GPU and fp32 on a CPU."""
    copied: Any = models.with_attention(checkpoint.model, "sdpa")
    model = prepare(copied.to(device=device, dtype=peak.DTYPES[device]))

    @torch.inference_mode()
    def answer(batch: Batch) -> NDArray[np.float32]:
        input_ids, attention_mask = (torch.from_numpy(part).to(device) for part in batch)
        logits = model(input_ids=input_ids, attention_mask=attention_mask).logits
        probabilities = torch.softmax(logits.float() / checkpoint.temperature, dim=-1).cpu().numpy()
        peak.synchronize(device)
        return np.asarray(probabilities)

    return answer


def compare(
    model: Model,
    device: Device,
    ready: Sequence[Batch],
    *,
    seconds: float,
    contestants: Mapping[str, Prepare] = CONTESTANTS,
) -> list[dict[str, Figure]]:
    """A row for ours and for each contestant, all on the same micro-batches.

    Args:
        model: what to measure.
        device: where.
        ready: micro-batches, texts of similar length together.
        seconds: of each measurement.
        contestants: what is done with the PyTorch model, by name.
    """
    count = sum(len(batch[0]) for batch in ready)
    starts: dict[str, Callable[[], Answer]] = {
        OURS: lambda: batches.answered_by(batches.session(model.bundle, device)),
        **{name: partial(answered_by, model.checkpoint, device, one) for name, one in contestants.items()},
    }
    expected: NDArray[np.float32] | None = None
    rows: list[dict[str, Figure]] = []
    for name, start in starts.items():
        row: dict[str, Figure] = {"model": model.name, "real mix, sorted by length": name}
        try:
            started = time.perf_counter()
            all_texts = partial(batches.answers, start(), ready)
            got = all_texts()
            first = time.perf_counter() - started
            rate = count / clock.seconds_a_pass(all_texts, seconds)
        except Exception as error:
            # torch.compile needs a compiler, say, and the others are worth measuring without it.
            rows.append({**row, **NOTHING, "failure": f"{type(error).__name__}: {one_line(error)}"})
        else:
            expected = got if expected is None else expected
            rows.append(
                {
                    **row,
                    "texts/s": rate,
                    "seconds to start": first,
                    "largest difference from ours": float(np.abs(got - expected).max()),
                    "failure": "",
                }
            )
        # torch.compile keeps what it made, and with it the model, until it is told.
        torch.compiler.reset()
    return rows


def report(rows: Sequence[dict[str, Figure]]) -> Result:
    """All rows, and how ours compares with each."""
    ran = [row for row in rows if not row["failure"]]
    rate = {(row["model"], row["real mix, sorted by length"]): float(row["texts/s"]) for row in ran}
    verdicts = [
        Verdict(
            claim="every contestant runs",
            measured=f"{len(rows) - len(ran)} failed",
            held=len(ran) == len(rows),
            hard=True,
        )
    ]
    verdicts += [
        Verdict(
            claim=f"{GOAL} x {name} with the {model}",
            measured=f"{rate[model, OURS] / theirs:.2f} x",
            held=rate[model, OURS] >= GOAL * theirs,
            hard=False,
        )
        for (model, name), theirs in rate.items()
        if name != OURS and (model, OURS) in rate
    ]
    return Result(rows=rows, verdicts=verdicts)
