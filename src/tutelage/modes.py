"""Training and evaluation mode, put back exactly as they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

__all__ = ["evaluating", "returned_as_it_was"]


@contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Inside the block every layer is in eval mode; afterwards each layer is as it was."""
    before = [(layer, layer.training) for module in modules for layer in module.modules()]
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for layer, mode in before:
            layer.training = mode


@contextmanager
def returned_as_it_was(*modules: nn.Module) -> Iterator[None]:
    """Let the block freeze these and set their modes; afterwards layers and parameters are as they were."""
    layers = [(layer, layer.training) for module in modules for layer in module.modules()]
    parameters = [(held, held.requires_grad) for module in modules for held in module.parameters()]
    try:
        yield
    finally:
        for layer, mode in layers:
            layer.training = mode
        for held, learns in parameters:
            held.requires_grad_(learns)
