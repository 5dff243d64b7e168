"""Another source whose inputs are noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from tutelage.data.over import Over
from tutelage.data.random import normal
from tutelage.types import Batch, map_tensors

__all__ = ["Noise"]


class Noise(Over):
    """Another source whose inputs are replaced by noise: what a student learns from labels' shares alone.

    Each example keeps its label, its id and the shape of its inputs, which become standard normal numbers
    that depend on the id alone.
    """

    def batch(self, numbers: Sequence[int]) -> Batch:
        """The examples of these numbers, made of noise."""
        batch = self.source.batch(numbers)

        def drawn(tensor: Tensor) -> Tensor:
            if not tensor.is_floating_point():
                return tensor
            noise = normal(batch.ids, tensor[0].numel(), seed=0, draw=f"noise {list(tensor.shape[1:])}")
            return noise.to(tensor.dtype).view_as(tensor)

        return replace(batch, inputs=map_tensors(batch.inputs, drawn))
