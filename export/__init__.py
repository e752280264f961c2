"""Turns a checkpoint into a bundle: fused ONNX models, each compared with PyTorch before it is written."""
