"""What the parts share, each made when a part first needs it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

import orjson

from consumer.bundle import Bundle, Device
from deploy.local.produce import read_comments
from tests.gpu import agreement, models, training
from tests.gpu.models import Model
from tests.gpu.training import Trained

# Of a large file: more than any part uses.
COMMENTS = 20_000


@dataclass(frozen=True)
class Run:
    """One run of gpu-check.

    device: where everything is measured
    data: file of labelled comments
    directory: for models, gone afterwards
    logs: for what programs print
    seconds: of each measurement
    say: told what happens
    """

    device: Device
    data: Path
    directory: Path
    logs: Path
    seconds: float
    say: Callable[[str], None]

    @cached_property
    def comments(self) -> list[str]:
        """The texts of the data."""
        rows = islice(read_comments(self.data, Counter()), COMMENTS)
        return [orjson.loads(comment.value)["text"] for comment in rows]

    @cached_property
    def trained(self) -> Trained:
        """The default base model, fine-tuned on the data."""
        self.say("fine-tuning the default base model")
        return training.train(self.data, self.directory / "checkpoint", self.logs / "gpu.fine-tuning.log")

    @cached_property
    def bundle(self) -> Bundle:
        """Its bundle."""
        checkpoint = self.trained.checkpoint
        self.say("exporting it")
        log = self.logs / "gpu.export.log"
        return agreement.exported(checkpoint, self.directory / "bundle", self.device, log)

    @cached_property
    def minilm(self) -> Model:
        """The default base model's shape."""
        self.say("making the graph of MiniLM-L6")
        return models.minilm(self.directory / "minilm", self.device)

    @cached_property
    def bert_base(self) -> Model:
        """BERT-base's shape."""
        self.say("making the graph of the BERT-base shape")
        return models.bert_base(self.directory / "bert-base", self.device)
