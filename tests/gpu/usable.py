"""Whether this machine has a GPU that PyTorch and ONNX Runtime can both use."""

import onnxruntime
import torch
from onnx import TensorProto, helper

CUDA = "CUDAExecutionProvider"


def missing() -> str | None:
    """What is missing and what to do, in one sentence; None where nothing is."""
    if torch.version.cuda is None:
        return "this PyTorch was built without CUDA: install the one that constraints.txt pins, on Linux"
    if not torch.cuda.is_available():
        return (
            "PyTorch finds no usable NVIDIA GPU: run this where `nvidia-smi` lists one, with a driver for"
            f" CUDA {torch.version.cuda} or newer and CUDA_VISIBLE_DEVICES not hiding it"
        )
    if not _onnxruntime_loads_cuda():
        return (
            "ONNX Runtime cannot load its CUDA provider, though PyTorch finds a GPU: install NVIDIA's"
            " libraries for it with pip install 'urgency-router[cuda]'"
        )
    return None


def _onnxruntime_loads_cuda() -> bool:
    # The provider is in the list of those available even where its libraries are not: only a session shows.
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "probe", [value], [result])
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    onnxruntime.preload_dlls()
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=[CUDA, "CPUExecutionProvider"]
    )
    return bool(session.get_providers()[0] == CUDA)
