"""Ways to keep a teacher's logits: all of them, the greatest, or a fair sample.

A form turns rows of logits into named columns, and columns back into what a loss can read. Each says how many
bytes a row takes, and none looks at the rows beside it, so that answers can be read in any order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tutelage.data.random import uniform
from tutelage.errors import RecipeError, UnknownName
from tutelage.types import SparseLogits

__all__ = ["Dense", "Form", "Sampled", "TopK", "form_of"]

Columns = Mapping[str, Tensor]
DenseType = Literal["float32", "float16", "bfloat16", "int8"]
_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}


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


class Dense(Form):
    """All logits: exact in float32, rounded in the others; int8 has a scale and a lowest value for each row.

    Example:
        >>> form = Dense("float16")
        >>> form.decode(form.encode(torch.tensor([[1.0, 2.5]]), torch.tensor([0])), 2)
        tensor([[1.0000, 2.5000]])
        >>> form.bytes_of_row(1000)
        2000
    """

    def __init__(self, dtype: DenseType = "float32") -> None:
        if dtype not in _BYTES:
            raise UnknownName("number format", str(dtype), get_args(DenseType))
        self.dtype = dtype

    def encode(self, logits: Float[Tensor, "rows classes"], names: Int[Tensor, " rows"]) -> dict[str, Tensor]:  # noqa: ARG002
        """Round."""
        if self.dtype != "int8":
            return {"logits": logits.to(getattr(torch, self.dtype))}
        least = logits.masked_fill(logits.isneginf(), torch.inf).amin(-1, keepdim=True)
        logits = torch.maximum(logits, least)  # what cannot be is as good as the least that can
        low, high = least, logits.amax(-1, keepdim=True)
        step = ((high - low) / 255).clamp(min=torch.finfo(torch.float32).tiny)
        levels = ((logits - low) / step).round().to(torch.uint8)
        return {"logits": levels, "low": low.float().squeeze(-1), "step": step.float().squeeze(-1)}

    def decode(self, columns: Columns, num_classes: int) -> Tensor:  # noqa: ARG002
        """Give all logits in float32."""
        logits = columns["logits"].float()
        if self.dtype == "int8":
            logits = logits * columns["step"].unsqueeze(-1) + columns["low"].unsqueeze(-1)
        return logits

    def bytes_of_row(self, num_classes: int) -> float:
        """As many numbers as classes."""
        return _BYTES[self.dtype] * num_classes + (8 if self.dtype == "int8" else 0)

    def serves(self, temperature: float) -> bool:  # noqa: ARG002
        """Any temperature."""
        return True

    @property
    def text(self) -> str:
        """`dense:float16`."""
        return f"dense:{self.dtype}"


class TopK(Form):
    """The k most probable classes, and the probability of all others together at each temperature of use.

    What is left out at temperature 1 may be half of everything at temperature 2. With the mass of the tail, a
    loss at these temperatures has exact probabilities for the known classes and one number for the rest.

    Args:
        k: how many classes to keep.
        temperatures: at which the loss will be computed.
        tails: keep the mass of the rest; without it the known classes are made to sum to 1, which the student
            then learns, and one temperature alone can be served.

    Example:
        >>> form = TopK(1, temperatures=[1.0, 2.0])
        >>> columns = form.encode(torch.tensor([[0.5, 0.3, 0.2]]).log(), torch.tensor([0]))
        >>> sparse = form.decode(columns, 3)
        >>> sparse.at(1.0)[1].exp()
        tensor([0.5000])
    """

    def __init__(self, k: int, *, temperatures: Sequence[float] = (1.0,), tails: bool = True) -> None:
        if k < 1:
            raise RecipeError(f"top-k with k = {k}; expected at least 1")
        if not temperatures or min(temperatures) <= 0:
            raise RecipeError(f"temperatures came as {list(temperatures)}; expected one above 0 at least")
        if not tails and len(set(temperatures)) > 1:
            raise RecipeError(
                f"top-k without tails serves one temperature, and {sorted(temperatures)} are to be used; "
                "keep the tails"
            )
        self.k, self.temperatures, self.tails = k, sorted(set(map(float, temperatures))), tails

    def encode(self, logits: Float[Tensor, "rows classes"], names: Int[Tensor, " rows"]) -> dict[str, Tensor]:  # noqa: ARG002
        """Keep the greatest, in falling order."""
        k = min(self.k, logits.shape[-1])
        best = logits.topk(k, -1)
        columns = {"classes": _narrow(best.indices, logits.shape[-1])}
        if not self.tails:
            return columns | {"scores": (best.values / self.temperatures[0]).log_softmax(-1).half()}
        columns["scores"] = (best.values - logits.logsumexp(-1, keepdim=True)).half()
        tails = [_log_tail(logits, best, each) for each in self.temperatures]
        columns["tails"] = torch.stack(tails, -1)
        return columns

    def decode(self, columns: Columns, num_classes: int) -> SparseLogits:
        """Give the known classes, and the mass of the others."""
        classes, scores = columns["classes"].long(), columns["scores"].float()
        if not self.tails:
            return SparseLogits(classes, scores, num_classes, temperature=self.temperatures[0])
        tails = columns["tails"].unbind(-1)
        return SparseLogits(classes, scores, num_classes, dict(zip(self.temperatures, tails, strict=True)))

    def bytes_of_row(self, num_classes: int) -> float:
        """A class and a score for each, and a number for each temperature."""
        k = min(self.k, num_classes)
        return k * (_width(num_classes) + 2) + (4 * len(self.temperatures) if self.tails else 0)

    def serves(self, temperature: float) -> bool:
        """The temperatures that it was made for."""
        return temperature in self.temperatures

    @property
    def text(self) -> str:
        """`topk:64@1,4`; without tails `topk:64:bare@1`."""
        at = ",".join(map(_said, self.temperatures))
        return f"topk:{self.k}{'' if self.tails else ':bare'}@{at}"


class Sampled(Form):
    """An unbiased sample: classes drawn in proportion to the teacher's probability (RS-KD).

    The greatest classes alone teach a student to be too sure. A draw from the whole vocabulary is right on
    average, rare classes among it, and so is the gradient of the student's loss. Draws of one class are
    merged; a class and its count take three bytes.

    Args:
        draws: how many.
        temperature: of the loss that will be computed.
        seed: another one gives other draws.

    Source: Anshumann et al., Sparse Logit Sampling, 2025, section 4 (Random Sampling Knowledge Distillation).
    Differences: the draws are systematic, one random offset and even steps through the cumulated
    probabilities, so that a class of probability p is met ⌊np⌋ or ⌈np⌉ times; the mean is the same, the
    variance smaller. Classes are drawn from the teacher's own distribution, without a flattened proposal.

    Example:
        >>> form = Sampled(4)
        >>> columns = form.encode(torch.tensor([[0.5, 0.25, 0.25]]).log(), torch.tensor([7]))
        >>> sparse = form.decode(columns, 3)
        >>> sparse.classes.tolist(), sparse.scores.exp().tolist()
        ([[0, 1, 2]], [[0.5, 0.25, 0.25]])
    """

    ragged = frozenset({"classes", "counts"})

    def __init__(self, draws: int, *, temperature: float = 1.0, seed: int = 0) -> None:
        if not 1 <= draws <= 255:
            raise RecipeError(f"draws came as {draws}; expected 1 to 255, since a count takes one byte")
        if temperature <= 0:
            raise RecipeError(f"temperature came as {temperature}; expected a number above 0")
        self.draws, self.temperature, self.seed = draws, float(temperature), seed

    def encode(self, logits: Float[Tensor, "rows classes"], names: Int[Tensor, " rows"]) -> dict[str, Tensor]:
        """Draw, and merge."""
        if not len(logits):
            empty = torch.empty(0, dtype=torch.uint8)
            return {"classes": _narrow(empty.long(), logits.shape[-1]), "counts": empty, "known": empty}
        reach = (logits.double() / self.temperature).softmax(-1).cumsum(-1)
        start = uniform(names, seed=self.seed, draw="answer").unsqueeze(-1)
        points = (torch.arange(self.draws, dtype=torch.float64) + start) / self.draws * reach[:, -1:]
        drawn = torch.searchsorted(reach, points, right=True).clamp_(
            max=logits.shape[-1] - 1
        )  # rises along a row
        new = torch.ones_like(drawn, dtype=torch.bool)
        new[:, 1:] = drawn[:, 1:] != drawn[:, :-1]
        first = new.flatten().nonzero().squeeze(-1)
        counts = torch.diff(first, append=torch.tensor([drawn.numel()]))
        return {
            "classes": _narrow(drawn.flatten()[first], logits.shape[-1]),
            "counts": counts.to(torch.uint8),
            "known": new.sum(-1).to(torch.uint8),
        }

    def decode(self, columns: Columns, num_classes: int) -> SparseLogits:
        """Give the drawn classes and the log of their shares."""
        known = columns["known"].long()
        there = torch.arange(int(known.max()) if len(known) else 0) < known.unsqueeze(-1)
        classes = torch.zeros(there.shape, dtype=torch.int64)
        scores = torch.full(there.shape, -torch.inf)
        classes[there] = columns["classes"].long()
        scores[there] = (columns["counts"].float() / self.draws).log()
        return SparseLogits(classes, scores, num_classes, temperature=self.temperature)

    def bytes_of_row(self, num_classes: int) -> float:
        """A class and a count for each draw, if no two are alike."""
        return self.draws * (_width(num_classes) + 1) + 1

    def serves(self, temperature: float) -> bool:
        """The temperature that it was drawn at."""
        return temperature == self.temperature

    @property
    def text(self) -> str:
        """`sampled:12@1`."""
        return f"sampled:{self.draws}@{_said(self.temperature)}"


def form_of(text: str, *, temperatures: Sequence[float] = (1.0,)) -> Form:
    """Read a form: `dense:float16`, `topk:64`, `topk:64:bare`, `sampled:12`, with `@1,4` for temperatures.

    Args:
        text: the form.
        temperatures: those of use, where the text names none.

    Raises:
        RecipeError, UnknownName: it says what is expected.

    Example:
        >>> form_of("topk:64@1,4").text, form_of("sampled:12", temperatures=[2.0]).text
        ('topk:64@1,4', 'sampled:12@2')
    """
    head, _, at = text.partition("@")
    name, *settings = head.split(":")
    try:
        _check_settings(name, settings, at)
        held = [float(each) for each in at.split(",")] if at else list(temperatures)
        if name == "dense":
            return Dense(settings[0] if settings else "float32")  # type: ignore[arg-type]
        if name == "topk":
            return TopK(int(settings[0]), temperatures=held, tails=settings[1:] != ["bare"])
        if name == "sampled":
            return _sampled(int(settings[0]), held)
    except (IndexError, ValueError) as error:
        if isinstance(error, RecipeError | UnknownName):
            raise
        raise RecipeError(
            f"the form came as {text!r}; expected dense:float16, topk:64@1,4 or sampled:12@1"
        ) from error
    raise UnknownName("form of answers", name, ("dense", "topk", "sampled"))


def _check_settings(name: str, settings: Sequence[str], at: str) -> None:
    """Refuse settings that a form does not have."""
    right = {
        "dense": len(settings) <= 1 and not at,
        "topk": list(settings[1:]) in ([], ["bare"]),
        "sampled": len(settings) == 1,
    }
    if not right.get(name, True):
        raise ValueError(f"{name} has no such settings: {settings} {at}")


def _said(temperature: float) -> str:
    """A number that reads back as itself."""
    return repr(temperature).removesuffix(".0")


def _sampled(draws: int, temperatures: Sequence[float]) -> Sampled:
    if len(set(temperatures)) != 1:
        raise RecipeError(
            f"a sample is drawn for one temperature, and {sorted(set(temperatures))} are to be used; keep "
            "topk with tails, or dense answers"
        )
    return Sampled(draws, temperature=temperatures[0])


def _log_tail(logits: Tensor, best: torch.return_types.topk, temperature: float) -> Tensor:
    """Log of the probability of what is not among the best; that of nothing is as good as none, −60."""
    rest = logits.scatter(-1, best.indices, -torch.inf) / temperature
    tail = rest.logsumexp(-1) - (logits / temperature).logsumexp(-1)
    return tail.clamp(min=-60.0)


def _width(num_classes: int) -> int:
    return 2 if num_classes <= 2**16 else 4


def _narrow(classes: Tensor, num_classes: int) -> Tensor:
    """Class indices in two bytes where they fit."""
    return classes.to(torch.uint16 if _width(num_classes) == 2 else torch.int32)
