"""A bundle's model on a device: which one, and a session that computes what the bundle says, no more."""

import ctypes
from pathlib import Path
from typing import Any

import onnxruntime

from consumer.bundle import Bundle, Device, DeviceChoice
from consumer.errors import BundleError, DeviceError, one_line

# What a model takes, by name: its numbers, and [batch, sequence].
_INPUTS = {"input_ids": ("tensor(int64)", 2), "attention_mask": ("tensor(int64)", 2)}


def open_session(
    bundle: Bundle, choice: DeviceChoice, threads: int
) -> tuple[Device, str, onnxruntime.InferenceSession]:
    """Load the bundle's variant for a device.

    Args:
        bundle: a verified bundle.
        choice: `auto` takes CUDA where it is usable.
        threads: threads of the CPU session; 0 takes one per core.

    Returns:
        The device, why that one, and the session: from `input_ids` and `attention_mask`, [batch, sequence]
        each, it computes `probabilities`, [batch, labels].

    Raises:
        DeviceError: the device is unusable, or the bundle has no variant for it.
        BundleError: the model cannot be loaded, or computes something else.
    """
    if choice == "cpu":
        return "cpu", "--device cpu asks for it", _cpu_session(bundle, threads)
    try:
        session = _cuda_session(bundle)
    except DeviceError as error:
        if choice == "cuda":
            raise
        return "cpu", f"--device auto found no usable GPU: {error}", _cpu_session(bundle, threads)
    reason = "--device auto found a usable GPU" if choice == "auto" else "--device cuda asks for it"
    return "cuda", reason, session


def _cpu_session(bundle: Bundle, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Spinning threads burn the core that the Kafka loop needs: a lone comment costs four times the CPU.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return _load_model(bundle, _model_path(bundle, "cpu"), options, ["CPUExecutionProvider"])


def _cuda_session(bundle: Bundle) -> onnxruntime.InferenceSession:
    path = _model_path(bundle, "cuda")
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        raise DeviceError(
            "this machine has no NVIDIA driver (libcuda.so.1); install it, or use --device cpu"
        ) from None
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0 or count.value == 0:
        raise DeviceError("the NVIDIA driver finds no GPU; make one visible, or use --device cpu")
    onnxruntime.preload_dlls()
    # Shapes vary, so the arena grows only by what a shape needs instead of doubling.
    cuda = ("CUDAExecutionProvider", {"arena_extend_strategy": "kSameAsRequested"})
    session = _load_model(bundle, path, onnxruntime.SessionOptions(), [cuda, "CPUExecutionProvider"])
    if session.get_providers()[0] != "CUDAExecutionProvider":
        raise DeviceError(
            "ONNX Runtime could not load its CUDA provider; install the cuda extra"
            " (pip install 'urgency-router[cuda]'), or use --device cpu"
        )
    return session


def _model_path(bundle: Bundle, device: Device) -> Path:
    variants = bundle.manifest.variants
    if device not in variants:
        raise DeviceError(
            f"the bundle {bundle.directory} has no variant for {device}, only for"
            f" {', '.join(sorted(variants))}; export it with --variants {device}"
        )
    return bundle.path(variants[device].file)


def _load_model(
    bundle: Bundle, path: Path, options: onnxruntime.SessionOptions, providers: list[Any]
) -> onnxruntime.InferenceSession:
    # A model may keep weights in files beside it, which no hash vouches for. This is where ONNX Runtime looks
    # for them, and beneath a file there is none.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(path))
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # ONNX Runtime's exceptions share no public base class
        raise BundleError(
            f"ONNX Runtime cannot load {path}: {one_line(error)}; export the bundle again"
        ) from None
    # By default a CPU, slower and never compared with the golden comments, takes the place of a failing GPU.
    session.disable_fallback()
    inputs = {tensor.name: (tensor.type, len(tensor.shape)) for tensor in session.get_inputs()}
    outputs = {tensor.name: (tensor.type, tensor.shape[1:]) for tensor in session.get_outputs()}
    labels = len(bundle.manifest.labels)
    if inputs != _INPUTS or outputs != {"probabilities": ("tensor(float)", [labels])}:
        raise BundleError(
            f"{path} computes {one_line(outputs)} from {one_line(inputs)}, and not the probabilities of"
            f" {labels} labels from input_ids and attention_mask; export the bundle again"
        )
    return session
