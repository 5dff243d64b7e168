"""A trained network as a teacher."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from tutelage.capture import capture, check_layers
from tutelage.data import reading
from tutelage.errors import UnknownName
from tutelage.stages import stages_of
from tutelage.teachers.teacher import Teacher
from tutelage.types import Batch, Outputs, map_tensors

__all__ = ["Frozen"]

Precision = Literal["float32", "bfloat16"]


class Frozen(Teacher):
    """A trained network that answers and never changes.

    The network is taken as it is, not copied: its parameters stop requiring gradients *in place*, and each
    call puts it into eval mode. Copy it first if it should go on training elsewhere.

    Args:
        network: any module that `tutelage.capture` can call.
        layers: paths of the layers to answer with; `watch` adds more.
        precision: "bfloat16" runs the network under autocast and answers in float32; "float32" switches a
            surrounding autocast off, and answers in float32; None leaves precision to the caller.
        compiled: run it through `torch.compile`. While layers are watched the uncompiled network runs.
        sharded: it may be spread over the processes of a run (FSDP2), which `spread` does.
        input_gradient: let gradient reach the batch's inputs, as a generator's training needs; parameters
            still get none. Otherwise no graph is built.

    Shapes:
        batch: inputs as the network takes them, on the network's device (move a teacher with `.to`).
        returns: the network's logits, and its layers by path.

    Raises:
        UnknownName: a layer or a precision that does not exist.
        ModelError: an answer without logits or layers, when called.

    Source:
        Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network", section 2.

    Example:
        >>> teacher = Frozen(nn.Sequential(nn.Linear(4, 8), nn.Dropout(), nn.Linear(8, 3)), layers=["0"])
        >>> outputs = teacher(Batch(inputs=torch.zeros(2, 4), ids=torch.arange(2)))
        >>> outputs.logits.shape, outputs.features["0"].shape, outputs.logits.requires_grad
        (torch.Size([2, 3]), torch.Size([2, 8]), False)
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        layers: Sequence[str] = (),
        precision: Precision | None = None,
        compiled: bool = False,
        sharded: bool = False,
        input_gradient: bool = False,
    ) -> None:
        super().__init__()
        if precision not in ("float32", "bfloat16", None):
            raise UnknownName("precision", str(precision), ("float32", "bfloat16"))
        self.network = network.eval().requires_grad_(False)
        self.layers: tuple[str, ...] = ()
        self.precision = precision
        self.sharded = sharded
        self.input_gradient = input_gradient
        self.watch(layers)
        # A tuple keeps the compiled twin, which holds the same parameters, out of the state dict.
        self._callee: tuple[Any] = (torch.compile(network) if compiled else network,)

    def spread(self, over: Callable[[nn.Module], nn.Module]) -> None:
        """Answer by a copy that `over` makes of the network; the network itself stays whole."""
        self.network = over(self.network)
        self._callee = (self.network,)

    def watch(self, layers: Sequence[str]) -> None:
        """Add layers to the features of every later answer; those already watched stay.

        Args:
            layers: paths, as `tutelage.capture` reads them.

        Raises:
            UnknownName: a layer that the network does not have.
        """
        check_layers(self.network, layers, who="teacher")
        self.layers = tuple(dict.fromkeys([*self.layers, *layers]))

    def stages(self, batch: Batch) -> list[str]:
        """Paths of the layers where the network's stages end."""
        return stages_of(self.network.eval(), reading(batch, self.reads).inputs)

    def forward(self, batch: Batch) -> Outputs:
        """Answer a batch."""
        if self.input_gradient:
            self.network.requires_grad_(False)  # somebody may hold the network too, and have thawed it
        with torch.set_grad_enabled(self.input_gradient and torch.is_grad_enabled()), self._autocast():
            outputs = capture(self._callee[0], reading(batch, self.reads).inputs, self.layers)
        if self.precision is None:
            return outputs
        logits, features = map_tensors((outputs.logits, dict(outputs.features)), _float32)
        return replace(outputs, logits=logits, features=features)

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        if self.precision is None:
            return contextlib.nullcontext()
        tensors = [*self.network.parameters(), *self.network.buffers()]
        device = tensors[0].device.type if tensors else "cpu"
        return torch.autocast(device, torch.bfloat16, enabled=self.precision == "bfloat16")


def _float32(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor
