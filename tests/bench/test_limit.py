"""The number of operations that a text needs, on which the distance from the limit rests."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig, BertForSequenceClassification

from tests.bench.limit import Shape


@pytest.mark.parametrize("tokens", [1, 7, 64])
def test_operations_are_those_that_pytorch_counts(tokens: int) -> None:
    """A text takes as many operations as PyTorch counts in the model's matrix products, the head aside."""
    config = BertConfig(
        hidden_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=80,
        vocab_size=99,
        num_labels=5,
    )
    model = BertForSequenceClassification._from_config(config, attn_implementation="eager").eval()

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(input_ids=torch.ones(1, tokens, dtype=torch.long))

    head = 2 * 48 * 5
    assert Shape.of(config).operations(tokens) + head == counter.get_total_flops()
