"""What every way to keep logits has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tutelage.types import SparseLogits

__all__ = ["Columns", "Form", "narrow", "said", "width_of"]

Columns = Mapping[str, Tensor]
"""What a form makes of rows of logits, by name."""


class Form(ABC):
    """How rows of logits are kept.

    Attributes:
        ragged: the columns that hold several entries for each row, as many as the column `known` says.
    """

    ragged: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def encode(self, logits: Float[Tensor, "rows classes"], names: Int[Tensor, " rows"]) -> dict[str, Tensor]:
        """Rows of logits as columns.

        Args:
            logits: in float32 or wider, on the CPU.
            names: a number for each row that does not depend on where it lies; random draws follow it.
        """

    @abstractmethod
    def decode(self, columns: Columns, num_classes: int) -> Tensor | SparseLogits:
        """Columns of some rows as logits, or as what is known of them."""

    @abstractmethod
    def bytes_of_row(self, num_classes: int) -> float:
        """What a row takes, at most."""

    @abstractmethod
    def serves(self, temperature: float) -> bool:
        """Whether a loss at this temperature can be computed from it."""

    @property
    @abstractmethod
    def text(self) -> str:
        """As it is written in a recipe or on the command line; `form_of` reads it."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.text})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Form) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


def width_of(num_classes: int) -> int:
    """Bytes that the index of a class takes."""
    return 2 if num_classes <= 2**16 else 4


def narrow(classes: Tensor, num_classes: int) -> Tensor:
    """Class indices in two bytes where they fit."""
    return classes.to(torch.uint16 if width_of(num_classes) == 2 else torch.int32)


def said(temperature: float) -> str:
    """A number that reads back as itself."""
    return repr(temperature).removesuffix(".0")
