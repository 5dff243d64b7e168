"""A data set distilled into a few examples, from which another network learns."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.capture import capture, check_layers
from tutelage.data import Examples, Source, normal
from tutelage.errors import ModelError
from tutelage.losses.reduction import labelled, masked_mean, widen
from tutelage.match import Match
from tutelage.schemes.declared import Declared, Term
from tutelage.schemes.learner import Learner
from tutelage.schemes.scheme import Scheme
from tutelage.types import Batch, Moment, Turn

__all__ = ["DatasetDistillation"]


class DatasetDistillation(Scheme):
    """A few examples of each class are learnt, so that their mean features are those of the data (DM).

    The features are those of networks of the student's architecture with weights drawn anew at each update:
    what looks like the data to all of them is likely to train one of them. The student itself stays as it is;
    a next stage (`data: made`) trains it on what was learnt, and that is what is measured.

    Args:
        student: whose architecture looks at the examples.
        examples: a module that, called with nothing, gives inputs [K, …], its parameters, and labels [K].
        layer: the student's layer whose features are compared, as `tutelage.capture` names it; None for the
            logits, which are a random projection of the last layer's.

    Raises:
        ModelError: examples of another shape than the data's, or data without a class for each.
        UnknownName: a layer that the student does not have.

    Source:
        Zhao and Bilen 2023, "Dataset Condensation with Distribution Matching", equation 5 and algorithm 1;
        the aim is that of Wang et al. 2018, "Dataset Distillation". Differences: the distance of each real
        example's features to its class's mean of learnt ones, which has the gradient of the distance between
        the two means, each class weighted by its share of the batch, and is a mean over examples, the same in
        parts; batches are not drawn by class; examples begin as noise, not as real ones; no siamese
        augmentation; matrices are drawn as He et al. 2015 do, and vectors (biases, norms) stay the student's.

    Example:
        >>> class Learnt(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.rows = nn.Parameter(torch.randn(2, 4))
        ...     def forward(self):
        ...         return self.rows, torch.tensor([0, 1])
        >>> scheme = DatasetDistillation(nn.Linear(4, 2), Learnt())
        >>> [turn.name for turn in scheme.turns()], scheme.made().labels
        (['examples'], tensor([0, 1]))
    """

    def __init__(self, student: nn.Module, examples: nn.Module, *, layer: str | None = None) -> None:
        check_layers(student, [layer] if layer else [], who="student")
        self.student, self.examples, self.layer = student, examples, layer
        self.embedding = copy.deepcopy(student).eval().requires_grad_(False)
        self.seed = int(torch.randint(2**31, ()))
        self.move: int | None = None

    @classmethod
    def declare(cls, matches: Sequence[Match], networks: Sequence[str], **options: Any) -> Declared:  # noqa: ARG003
        """It hands over no network: the next stage trains one on what it makes."""
        place = f" at {options['layer']}" if options.get("layer") else ""
        term = Term(f"the mean features of data that it learns{place}", 1.0, needs_teacher=False)
        return Declared((), "nobody", (term,), makes=True, turns=("examples",))

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """The student, which nobody moves, and the examples."""
        return {"student": self.student, "examples": self.examples}

    @property
    def learners(self) -> Sequence[Learner]:
        """None: no network learns."""
        return []

    def turns(self) -> Sequence[Turn]:
        """One turn, that of the examples."""
        own = [held for held in self.examples.parameters() if held.requires_grad]
        return [Turn("examples", own, self._terms, makes=self._seen)]

    def made(self) -> Source:
        """The examples with their labels."""
        with torch.no_grad():
            inputs, labels = self.examples()
        return Examples(inputs.detach().cpu().clone(), labels.cpu().clone(), where="the learnt examples")

    def _seen(self, batch: Batch, moment: Moment) -> Batch:
        """The batch as it is, and other eyes for it: weights by the move alone."""
        if self.move != moment.move:
            _draw_(self.embedding, self.student, self.seed + moment.move)
            self.move = moment.move
        return batch

    def _terms(self, batch: Batch) -> dict[str, Tensor]:
        inputs, classes = self.examples()
        means = _means(self._features(inputs), classes)
        known = labelled(batch.labels, batch.mask)
        with torch.no_grad():
            real = self._features(batch.inputs)
        gaps = (real - means[torch.where(known, batch.labels, 0)]).square().sum(-1)
        return {"features": masked_mean(torch.where(known, gaps, 0), batch.mask)}

    def _features(self, inputs: Any) -> Tensor:
        found = capture(self.embedding, inputs, [self.layer] if self.layer else [])
        features = found.features[self.layer] if self.layer else found.logits
        assert features is not None
        return widen(features.flatten(1))

    def _fit(self, batch: Batch) -> None:
        inputs, _ = self.examples()
        if not isinstance(batch.inputs, Tensor) or inputs.shape[1:] != batch.inputs.shape[1:]:
            shape = (
                list(batch.inputs.shape[1:])
                if isinstance(batch.inputs, Tensor)
                else type(batch.inputs).__name__
            )
            raise ModelError(
                f"the learnt examples have the shape {list(inputs.shape[1:])}, and those of the data "
                f"{shape}; give the network of the examples the shape of the data"
            )
        if not isinstance(batch.labels, Tensor) or batch.labels.ndim != 1 or batch.labels.is_floating_point():
            raise ModelError(
                "examples are learnt class by class, and the data have no class for each; give labels"
            )
        self._features(batch.inputs)


def _means(features: Tensor, classes: Tensor) -> Tensor:
    """The mean features of each class, [classes, width]."""
    count = int(classes.max()) + 1
    own = torch.nn.functional.one_hot(classes, count).to(features)
    return own.T @ features / own.sum(0).clamp(min=1).unsqueeze(-1)


@torch.no_grad()
def _draw_(network: nn.Module, like: nn.Module, seed: int) -> None:
    """Draw each matrix and filter of a network from N(0, 2 / fan_in), by a seed alone; not the rest."""
    network.load_state_dict(like.state_dict())
    for name, held in network.named_parameters():
        if held.ndim > 1:
            fan_in = math.prod(held.shape[1:])
            numbers = normal(torch.arange(len(held)), fan_in, seed=seed, draw=name)
            held.copy_((numbers * math.sqrt(2 / fan_in)).view_as(held))
