"""Several teachers of one task each, for a student with a head for each task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from tutelage.errors import ModelError
from tutelage.teachers.members import as_teacher, checked_logits
from tutelage.teachers.teacher import Teacher
from tutelage.types import Batch, Outputs

__all__ = ["Heads"]

_OUTPUT = ":output."


class Heads(Teacher):
    """Teachers of different questions that answer side by side, as one network with several heads would.

    The student has a head for each question; a term names the head on both sides: `guided=":output.digit"`,
    `hint=":output.digit"`. A layer of one of the teachers goes by its name and its path, `digit.hidden.0`.

    Args:
        teachers: by the name of the head that each one teaches.

    Shapes:
        batch: as each of them takes it.
        returns: features `:output.<head>`, the logits of each that is watched, [N, …, its classes]; logits
            are those of all, joined in the order of the heads, [N, …, all classes].

    Raises:
        ValueError: no teachers.
        ModelError: a watched path that is nobody's, or one that answers without logits, when called.

    Source:
        after Shen et al. 2019, "Customizing Student Networks From Heterogeneous Teachers via Adaptive
        Knowledge Amalgamation", for one student of several single-task teachers. Differences: no blocks that
        select and fuse features; each head follows its own teacher's answers, or layers.

    Example:
        >>> from tutelage.teachers import Function
        >>> digit = Function(lambda inputs: torch.eye(10)[inputs])
        >>> parity = Function(lambda inputs: torch.eye(2)[inputs % 2])
        >>> teacher = Heads({"digit": digit, "parity": parity})
        >>> teacher.watch([":output.parity"])
        >>> answer = teacher(Batch(inputs=torch.tensor([7]), ids=torch.arange(1)))
        >>> answer.features[":output.parity"], answer.logits.shape
        (tensor([[0., 1.]]), torch.Size([1, 12]))
    """

    def __init__(self, teachers: Mapping[str, Teacher]) -> None:
        super().__init__()
        if not teachers:
            raise ValueError("heads of no teachers came; expected at least one, by the name of its head")
        self.heads = nn.ModuleDict({name: as_teacher(one) for name, one in teachers.items()}).eval()
        self.watched: tuple[str, ...] = ()

    def watch(self, layers: Sequence[str]) -> None:
        """Answer with these heads and layers, too.

        Raises:
            ModelError: a path that is no head's and no teacher's.
        """
        inside: dict[str, list[str]] = {}
        for path in layers:
            head, layer = self._read(path)
            if layer:
                inside.setdefault(head, []).append(layer)
        for head, asked in inside.items():
            self._one(head).watch(asked)
        self.watched = tuple(dict.fromkeys([*self.watched, *layers]))

    def forward(self, batch: Batch) -> Outputs:
        """Answer a batch."""
        said = {name: cast(Outputs, one(batch)) for name, one in self.heads.items()}
        logits = {
            name: checked_logits(outputs, number, None) for number, (name, outputs) in enumerate(said.items())
        }
        features: dict[str, Tensor] = {}
        for path in self.watched:
            head, layer = self._read(path)
            features[path] = said[head].features[layer] if layer else logits[head]
        return Outputs(torch.cat(list(logits.values()), -1), features)

    def _one(self, head: str) -> Teacher:
        return cast(Teacher, self.heads[head])

    def _read(self, path: str) -> tuple[str, str]:
        """The head that a path is about, and the layer within its teacher; none for its answer."""
        head, _, layer = path.removeprefix(_OUTPUT).partition(".")
        answer = path.startswith(_OUTPUT)
        if head not in self.heads or answer == bool(layer):
            names = ", ".join(self.heads)
            raise ModelError(
                f"Heads has no layers called {path!r}; expected {_OUTPUT}<head> for an answer or "
                f"<head>.<layer>, with a head of {names}"
            )
        return head, layer
