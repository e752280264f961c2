"""The exporter's exceptions, one tree; each ends the process with exit code 1 and its message.

ExportError
├── CheckpointError   the checkpoint is missing, incomplete, or of a kind that cannot be exported
├── FusionError       the optimizer left the graph slower, or the fp16 graph other, than it has to be
└── ParityError       a variant answers otherwise than PyTorch, or than itself in another batch
"""


class ExportError(Exception):
    """No bundle was written; the message says why and what to do."""


class CheckpointError(ExportError):
    """The checkpoint cannot be exported: fine-tune it again, or name another."""


class FusionError(ExportError):
    """The graph is not what the consumer's speed rests on: use the package versions in constraints.txt."""


class ParityError(ExportError):
    """A variant answers otherwise than PyTorch, or than itself in another batch: do not use it.

    Attributes:
        finding: what it does, without what follows from that.
    """

    def __init__(self, finding: str, advice: str) -> None:
        super().__init__(f"{finding}: no bundle was written; {advice}")
        self.finding = finding
