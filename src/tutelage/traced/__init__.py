"""A network as a graph: its logits traced, translated to ONNX, and run by ONNX Runtime."""

from tutelage.traced.logits import Logits, ready, rows, tensors_of
from tutelage.traced.onnx_network import OnnxNetwork, Stands
from tutelage.traced.operators import said_of
from tutelage.traced.processor import missing_instructions
from tutelage.traced.quiet import quiet
from tutelage.traced.trace import first_line, trace
from tutelage.traced.translate import OPSET, opset_of, packages, refuse_large, to_onnx

__all__ = [
    "OPSET",
    "Logits",
    "OnnxNetwork",
    "Stands",
    "first_line",
    "missing_instructions",
    "opset_of",
    "packages",
    "quiet",
    "ready",
    "refuse_large",
    "rows",
    "said_of",
    "tensors_of",
    "to_onnx",
    "trace",
]
