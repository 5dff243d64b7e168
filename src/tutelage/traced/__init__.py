"""A network as a graph: its logits traced, translated to ONNX, and run by ONNX Runtime."""

from tutelage.traced.logits import Logits, ready, rows, tensors_of
from tutelage.traced.onnx_network import OnnxNetwork, Stands
from tutelage.traced.processor import missing_instructions
from tutelage.traced.trace import trace
from tutelage.traced.translate import packages, quiet, to_onnx

__all__ = [
    "Logits",
    "OnnxNetwork",
    "Stands",
    "missing_instructions",
    "packages",
    "quiet",
    "ready",
    "rows",
    "tensors_of",
    "to_onnx",
    "trace",
]
