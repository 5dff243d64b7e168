"""Prune a fifth of the channels of a network and quantise it to INT8: with tutelage, and by hand.

By hand it is Torch-Pruning and ONNX Runtime as their guides call them. Both start from one trained network
and calibrate with the same examples; sizes and answers are held against each other.

    python benchmarks/compression_by_hand.py
"""

from __future__ import annotations

import copy
import inspect
import itertools
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import tutelage as tl

PARTS = (1000, 1300)
"""Where the training rows of digits end, and the validation rows."""


def network() -> nn.Module:
    """A convolutional network for 8 × 8 digits."""
    layers: list[nn.Module] = []
    for before, after in ((1, 32), (32, 64), (64, 64)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def trained(train: TensorDataset) -> nn.Module:
    """The network after 15 epochs."""
    torch.manual_seed(0)
    made = network()
    optimizer = torch.optim.AdamW(made.parameters(), lr=3e-3)
    for _ in range(15):
        for rows in torch.randperm(len(train)).split(64):
            optimizer.zero_grad()
            inputs, labels = train[rows]
            nn.functional.cross_entropy(made(inputs), labels).backward()
            optimizer.step()
    return made.eval()


def with_tutelage(made: nn.Module, train: TensorDataset, validation: TensorDataset, folder: Path) -> Any:
    """Both steps, each measured; the network is left as it came."""
    changes = [
        {"prune": {"share": 0.2, "structure": "channels"}},
        {"quantise": {"how": "static", "examples": len(train)}},
    ]
    return tl.compress(made, train, validation, changes=changes, out=folder / "tutelage", quiet=True)


def by_hand(made: nn.Module, train: TensorDataset, folder: Path) -> tuple[nn.Module, Path]:
    """Both steps, nothing measured; the pruned network, and the file in INT8."""
    import torch_pruning as tp
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    inputs = train.tensors[0]
    pruned = copy.deepcopy(made)
    head = [layer for layer in pruned.modules() if isinstance(layer, nn.Linear)][-1]
    pruner = tp.pruner.BasePruner(
        pruned,
        inputs[:2],
        tp.importance.GroupMagnitudeImportance(),
        pruning_ratio=0.2,
        ignored_layers=[head],
    )
    pruner.step()
    plain, small = folder / "by_hand.onnx", folder / "by_hand_int8.onnx"
    torch.onnx.export(
        pruned,
        (inputs[:2],),
        str(plain),
        dynamo=True,
        opset_version=21,
        input_names=["input"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        external_data=False,
        verbose=False,
    )

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rows = iter(inputs.numpy().reshape(-1, 50, *inputs.shape[1:]))

        def get_next(self) -> dict[str, Any] | None:
            rows = next(self.rows, None)
            return None if rows is None else {"input": rows}

    quantize_static(
        str(plain),
        str(small),
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        weight_type=QuantType.QUInt8,
        activation_type=QuantType.QUInt8,
    )
    return pruned, small


def lines_of(function: Any) -> int:
    """Lines of code of a function, without its head, docstring and blank lines."""
    body = inspect.getsource(function).split('"""', 2)[2]
    return sum(1 for line in body.splitlines() if line.strip())


def answers(file: Path | bytes, inputs: Tensor) -> Any:
    """The logits of an ONNX file."""
    import onnxruntime as ort

    content = file if isinstance(file, bytes) else file.read_bytes()
    session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: inputs.numpy()})[0]


def compared(folder: Path) -> dict[str, Any]:
    """Sizes and answers of both."""
    digits = load_digits()
    inputs = torch.tensor(digits.images[:, None] / 16, dtype=torch.float32)
    labels = torch.tensor(digits.target)
    cuts = (0, *PARTS, len(labels))
    train, validation, test = (TensorDataset(inputs[a:b], labels[a:b]) for a, b in itertools.pairwise(cuts))
    made = trained(train)
    ours = with_tutelage(made, train, validation, folder)
    pruned, file = by_hand(made, train, folder)
    one, other = answers(ours.network.content, test.tensors[0]), answers(file, test.tensors[0])
    stops = {stop["name"]: stop["cost"] for stop in ours.way}
    return {
        "parameters pruned": {
            "tutelage": next(cost["parameters"] for name, cost in stops.items() if "prune" in name),
            "by hand": sum(p.numel() for p in pruned.parameters()),
        },
        "bytes in INT8": {"tutelage": len(ours.network.content), "by hand": file.stat().st_size},
        "largest difference of a logit": float(np.abs(one - other).max()),
        "largest logit": float(np.abs(other).max()),
        "equal answers": float((one.argmax(1) == other.argmax(1)).mean()),
        "test accuracy": {
            "as it came": float((made(test.tensors[0]).argmax(1) == test.tensors[1]).float().mean()),
            "tutelage": float((one.argmax(1) == test.tensors[1].numpy()).mean()),
            "by hand": float((other.argmax(1) == test.tensors[1].numpy()).mean()),
        },
        "lines of user code": {"tutelage": lines_of(with_tutelage), "by hand": lines_of(by_hand)},
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        print(json.dumps(compared(Path(place)), indent=2))
