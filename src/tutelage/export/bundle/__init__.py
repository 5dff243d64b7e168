"""A folder for a device: the network as ONNX, what its inputs and answers mean, and programs that run it.

`writing` puts the folder together, beside its place and then moved there; `contents` says what a network
reads and answers, as data. The programs are the files of `export/device`, as they are: they need
numpy and ONNX Runtime, and nothing of ours.
"""

from tutelage.export.bundle.contents import Described, Kept
from tutelage.export.bundle.writing import bundle

__all__ = ["Described", "Kept", "bundle"]
