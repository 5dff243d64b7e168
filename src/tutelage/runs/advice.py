"""What to change, where a network or an estimator could not be called with somebody's data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from tutelage.types import Batch

__all__ = ["advice", "described"]

_IDS = ("id", "index", "idx", "name")


def advice(error: Exception, batch: Batch) -> str:
    """What to change in the call or in the data, told from the error and from what came.

    Args:
        error: of another library.
        batch: what it was raised at.
    """
    found = " ".join(_advice(error, batch))
    return found or "Give inputs as its forward takes them"


def described(batch: Batch) -> str:
    """What a batch holds, in words: the kinds and shapes of its inputs."""
    inputs = batch.inputs
    if _of_frame(inputs):
        return f"a row that is encoded as {inputs['rows'].shape[1]} numbers"
    return _shapes(inputs)


def _advice(error: Exception, batch: Batch) -> Iterator[str]:
    inputs, said, kind = batch.inputs, str(error).lower(), type(error).__name__
    if kind == "NotFittedError":
        yield "Fit it before it teaches: teacher.fit(rows, labels)"
    elif "unknown categor" in said:
        yield (
            "It meets words that it was not fitted on, and must answer about every split: build its encoder "
            "with "
            'handle_unknown="ignore" (OneHotEncoder) and fit it again, or leave such rows out'
        )
    elif _of_frame(inputs) and any(word in said for word in ("shape", "size", "mat1")):
        yield (
            "A network reads the encoded rows, so their width is the number of its inputs: give the student "
            "as a function of the width, such as `lambda width: Net(width)`"
        )
    elif _swapped(batch):
        yield (
            "The inputs are whole numbers and the labels rows of numbers: were they swapped? Expected "
            "(inputs, labels)"
        )
    elif isinstance(inputs, Mapping):
        yield from _about_keys(inputs, batch)
    elif isinstance(inputs, tuple) and batch.labels is not None:
        yield (
            f"Give inputs as its forward takes them. Of the {len(inputs) + 1} parts of an item the last was "
            "read as its labels and those before it as inputs; for items with an index or a weight give a "
            "collate_fn that returns (inputs, labels)"
        )
    elif isinstance(inputs, Tensor) and inputs.ndim == 3 and ("channel" in said or "4d" in said):
        yield (
            "Images are [examples, channels, height, width], and these have no channels: give them one, "
            "inputs.unsqueeze(1)"
        )


def _about_keys(inputs: Mapping[Any, Any], batch: Batch) -> Iterator[str]:
    keys = ", ".join(map(str, inputs))
    if batch.labels is None:
        yield (
            f"Give inputs as its forward takes them. No label was found among {keys}: name it labels, label, "
            "targets, target or y"
        )
        return
    extra = [str(key) for key in inputs if str(key) in _IDS]
    rest = f"drop {extra[0]!r}, or call it 'ids'" if extra else "leave out those that are no inputs"
    yield (
        f"A batch has {len(inputs)} keys beside its labels ({keys}), which are given to forward by name; of "
        f"one key alone the tensor is given: {rest}"
    )


def _swapped(batch: Batch) -> bool:
    inputs, labels = batch.inputs, batch.labels
    if not isinstance(inputs, Tensor) or not isinstance(labels, Tensor):
        return False
    whole = inputs.ndim == 1 and bool((inputs == inputs.round()).all())
    return whole and labels.is_floating_point() and labels.ndim > 1


def _of_frame(inputs: Any) -> bool:
    return isinstance(inputs, Mapping) and {*inputs} == {"rows", "row"}


def _shapes(inputs: Any) -> str:
    """The kinds and shapes of inputs."""
    if isinstance(inputs, Mapping):
        return "{" + ", ".join(f"{key}: {_shapes(value)}" for key, value in inputs.items()) + "}"
    if isinstance(inputs, tuple | list):
        return "(" + ", ".join(map(_shapes, inputs)) + ")"
    if isinstance(inputs, Tensor):
        return f"{str(inputs.dtype).removeprefix('torch.')} {list(inputs.shape)}"
    return type(inputs).__name__
