"""Reads comments from Kafka, classifies them in batches and publishes each, exactly once, by urgency."""

import os

# ONNX Runtime would tell its maker what runs here, and leave a number for this machine in the home directory.
# It looks for this once, when it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
