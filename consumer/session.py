"""A bundle's model on a device: which one, and a session that computes what the bundle says, no more."""

import ctypes
from pathlib import Path
from typing import Any

import onnxruntime

from consumer.bundle import Bundle, Device, DeviceChoice, PrecisionChoice, Variant, VariantName
from consumer.errors import BundleError, DeviceError, SettingsError, one_line

# Where Linux shows its devices.
DEVICES = Path("/dev")
# What a model takes, by name: its numbers, and [batch, sequence].
_INPUTS = {"input_ids": ("tensor(int32)", 2), "attention_mask": ("tensor(int32)", 2)}


def open_session(
    bundle: Bundle, choice: DeviceChoice, precision: PrecisionChoice, gpu_memory: int = 0
) -> tuple[Device, str, Variant, onnxruntime.InferenceSession]:
    """Load the bundle's variant for a device and a precision.

    Args:
        bundle: a verified bundle.
        choice: `auto` takes CUDA where it is usable.
        precision: `default` is fp32 on a CPU and fp16 on CUDA; `int8` is for a CPU alone.
        gpu_memory: the most that the session takes of a GPU's memory for what it computes, bytes; 0 is no
            bound.

    Returns:
        The device, why that one, the variant, and the session, which may run on several threads at once (on
        a CPU each run computes on its own thread alone): from `input_ids` and `attention_mask`,
        [batch, sequence] each, it computes `probabilities`, [batch, labels].

    Raises:
        SettingsError: int8 is asked for on CUDA, or the bundle has no such variant.
        DeviceError: the device is unusable, or the bundle has no variant for it.
        BundleError: the model cannot be loaded, or computes something else.
    """
    if precision == "int8":
        _check_int8(bundle, choice)
        return "cpu", "--precision int8 is for a CPU", *_cpu_session(bundle, "cpu-int8")
    if choice == "cpu":
        return "cpu", "--device cpu asks for it", *_cpu_session(bundle, "cpu")
    try:
        loaded = _cuda_session(bundle, gpu_memory)
    except DeviceError as error:
        if choice == "cuda":
            raise
        return "cpu", f"--device auto found no usable GPU: {error}", *_cpu_session(bundle, "cpu")
    reason = "--device auto found a usable GPU" if choice == "auto" else "--device cuda asks for it"
    return "cuda", reason, *loaded


def leaves_gpu_unused(device: Device, choice: DeviceChoice, precision: PrecisionChoice) -> bool:
    """Whether the machine shows an NVIDIA GPU and nobody asked for the CPU that the model runs on.

    The device file tells it: a container has one for each GPU that it was given, and only those, and has it
    too where the driver's library is missing or does not fit.
    """
    fell_back = (device, choice, precision) == ("cpu", "auto", "default")
    return fell_back and any(DEVICES.glob("nvidia[0-9]*"))


def _check_int8(bundle: Bundle, choice: DeviceChoice) -> None:
    if choice == "cuda":
        raise SettingsError("--precision int8 is for a CPU: leave it out, or use --device cpu")
    variants = bundle.manifest.variants
    if "cpu-int8" not in variants:
        raise SettingsError(
            f"--precision int8: the bundle {bundle.directory} has no variant for cpu-int8, only for"
            f" {', '.join(sorted(variants))}; export with --variants cpu cpu-int8, or leave --precision out"
        )


def _cpu_session(bundle: Bundle, name: VariantName) -> tuple[Variant, onnxruntime.InferenceSession]:
    variant = _variant(bundle, name)
    options = onnxruntime.SessionOptions()
    # Threads that share a run wait for each other at every operator.
    options.intra_op_num_threads = 1
    # The graph runs as it was compared at the export, and ONNX Runtime would fuse what is apart for speed.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return variant, _load_model(bundle, variant, options, ["CPUExecutionProvider"])


def _cuda_session(bundle: Bundle, gpu_memory: int) -> tuple[Variant, onnxruntime.InferenceSession]:
    variant = _variant(bundle, "cuda")
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
    arena = {"arena_extend_strategy": "kSameAsRequested"}
    if gpu_memory:
        arena["gpu_mem_limit"] = str(gpu_memory)
    cuda = ("CUDAExecutionProvider", arena)
    session = _load_model(bundle, variant, onnxruntime.SessionOptions(), [cuda, "CPUExecutionProvider"])
    if session.get_providers()[0] != "CUDAExecutionProvider":
        raise DeviceError(
            "ONNX Runtime could not load its CUDA provider; install the cuda extra"
            " (pip install 'urgency-router[cuda]'), or use --device cpu"
        )
    return variant, session


def _variant(bundle: Bundle, name: VariantName) -> Variant:
    variants = bundle.manifest.variants
    if name not in variants:
        raise DeviceError(
            f"the bundle {bundle.directory} has no variant for {name}, only for"
            f" {', '.join(sorted(variants))}; export it with --variants {name}"
        )
    return variants[name]


def _load_model(
    bundle: Bundle, variant: Variant, options: onnxruntime.SessionOptions, providers: list[Any]
) -> onnxruntime.InferenceSession:
    path = bundle.path(variant.file)
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
