"""What a form of answers costs in bytes and in error, before anything is stored."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from tutelage.answers.forms import Dense, Form, Sampled, TopK
from tutelage.answers.shards import LEVEL
from tutelage.errors import RecipeError
from tutelage.types import SparseLogits

__all__ = [
    "Candidate",
    "FormError",
    "candidates",
    "choose",
    "error_of",
    "read_bytes",
    "redrawn",
    "spread_log_probs",
]

_K = (1, 2, 4, 8, 16, 32, 50, 64, 128, 256, 512, 1024)
_DRAWS = (4, 8, 12, 25, 50, 100, 200)
_DOUBT = 0.05  # of a size that was learnt from a sample
_UNITS = {"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


@dataclass(frozen=True, slots=True)
class FormError:
    """How far stored answers are from the teacher's, at one temperature, over some rows.

    The gradient is that of the KL with respect to the logits of a student that knows nothing and says each
    class is as likely as the others.

    Args:
        kl: mean KL(stored ‖ teacher) in nats; the tail of a top-k spread evenly.
        gradient: norm of the difference of the gradients over the norm of the true one, root mean squares.
        bias: the part of it that is the same whenever a row is stored, so that no long training averages it
            out: all of it for a rounding or a cut, none for a fair sample. Of draws it is what the rows show
            beyond two standard errors.
    """

    kl: float
    gradient: float
    bias: float

    def in_training(self, batch: int) -> float:
        """The error of a step's gradient: the bias, and what a batch's mean leaves of the rest."""
        return float((self.bias**2 + max(0.0, self.gradient**2 - self.bias**2) / batch) ** 0.5)


@dataclass(frozen=True)
class Candidate:
    """A form, what it takes and what it costs in error.

    Args:
        form: how logits would be kept.
        nbytes: of all answers.
        errors: by temperature.
        exact: whether the size is that of any answers; else it is the sample's, and others differ a little.
    """

    form: Form
    nbytes: float
    errors: Mapping[float, FormError]
    exact: bool = True

    @property
    def most(self) -> float:
        """The bytes that it will hardly exceed."""
        return self.nbytes if self.exact else self.nbytes * (1 + _DOUBT)

    def worst(self, batch: int) -> float:
        """The greatest error of a step's gradient over the temperatures."""
        return max(error.in_training(batch) for error in self.errors.values())


def error_of(
    stored: Tensor | SparseLogits,
    logits: Float[Tensor, "rows classes"],
    temperature: float,
    *,
    again: Tensor | SparseLogits | None = None,
) -> FormError:
    """How far stored rows are from the dense ones.

    Args:
        stored: the same rows, as they come back from a form.
        logits: the teacher's.
        temperature: of the loss.
        again: the rows, stored another time with draws of their own; None for a form without draws. The mean
            product of two independent errors is the square of what they share.

    Example:
        >>> logits = torch.tensor([[2.0, 0.0]])
        >>> error_of(logits, logits, 4.0)
        FormError(kl=0.0, gradient=0.0, bias=0.0)
    """
    log_true = (logits.double() / temperature).log_softmax(-1)
    log_kept = spread_log_probs(stored, temperature)
    true, kept = log_true.exp(), log_kept.exp()
    kl = torch.where(kept > 0, kept * (log_kept - log_true), 0).sum(-1)
    gap, size = kept - true, (1 / logits.shape[-1] - true).square().sum().clamp(min=1e-30)
    gradient = float((gap.square().sum() / size).sqrt())
    bias = (
        gradient if again is None else _shared(gap, spread_log_probs(again, temperature).exp() - true, size)
    )
    return FormError(max(0.0, float(kl.mean())), gradient, min(bias, gradient))


def _shared(one: Tensor, other: Tensor, size: Tensor) -> float:
    """What two independent errors have in common: their product, less two standard errors, as a root."""
    products = (one * other).sum(-1)
    doubt = 2 * products.std() * len(products) ** 0.5 if len(products) > 1 else 0.0
    return float(((products.sum() - doubt) / size).clamp(min=0).sqrt())


def candidates(
    logits: Float[Tensor, "rows classes"],
    *,
    rows: int,
    temperatures: Sequence[float],
    forms: Sequence[Form] | None = None,
    beside: float = 0.0,
    reach: float = 0.0,
    compressed: bool = False,
) -> list[Candidate]:
    """Forms with their size and error, from a sample of the teacher's answers.

    Args:
        logits: the sample.
        rows: how many rows will be stored.
        temperatures: of the losses that will read them.
        forms: which to look at; None for a ladder of all kinds.
        beside: bytes that keys and features take, whatever the form.
        reach: bytes that forms whose rows differ in length take besides.
        compressed: answers will be, as the sample is here to see what that saves.
    """
    classes = logits.shape[-1]
    names = torch.arange(len(logits))
    found = []
    for form in forms if forms is not None else ladder(classes, temperatures):
        columns = form.encode(logits, names)
        stored, again = form.decode(columns, classes), redrawn(form, logits)
        errors = {each: error_of(stored, logits, each, again=again) for each in temperatures}
        nbytes = beside + reach * bool(form.ragged) + rows * _bytes_of_row(columns, len(logits), compressed)
        found.append(Candidate(form, nbytes, errors, exact=not (form.ragged or compressed)))
    return found


def redrawn(form: Form, logits: Float[Tensor, "rows classes"]) -> Tensor | SparseLogits:
    """Rows as they come back from a form, with other draws than those that are stored."""
    names = -1 - torch.arange(len(logits))
    return form.decode(form.encode(logits, names), logits.shape[-1])


def choose(found: Sequence[Candidate], budget: float, *, batch: int) -> Candidate:
    """The candidate whose steps are nearest to the true ones among those that fit; of equals the smaller.

    Raises:
        RecipeError: none fits.
    """
    fitting = [candidate for candidate in found if candidate.most <= budget]
    if not fitting:
        least = min(found, key=lambda candidate: candidate.most)
        raise RecipeError(
            f"no form of these answers fits into {budget:,.0f} bytes; the smallest, {least.form.text}, "
            f"takes {least.most:,.0f}: give a larger --budget, fewer views, or fewer examples"
        )
    return min(fitting, key=lambda candidate: (round(candidate.worst(batch), 4), candidate.nbytes))


def ladder(num_classes: int, temperatures: Sequence[float]) -> list[Form]:
    """Forms of every kind that serve these temperatures, each smaller than float32."""
    forms: list[Form] = [Dense("float32"), Dense("float16"), Dense("bfloat16"), Dense("int8")]
    forms += [TopK(k, temperatures=temperatures) for k in _K if k < num_classes]
    if len(set(temperatures)) == 1:
        forms += [Sampled(draws, temperature=temperatures[0]) for draws in _DRAWS]
    whole = 4 * num_classes
    return [form for form in forms if form.bytes_of_row(num_classes) <= whole]


def read_bytes(text: str) -> float:
    """A size as one writes it.

    Raises:
        RecipeError: it is none.

    Example:
        >>> read_bytes("2GB"), read_bytes("500 kB"), read_bytes("1e6")
        (2000000000.0, 500000.0, 1000000.0)
    """
    number = text.strip().upper().removesuffix("B").rstrip()
    unit = number[-1:] if number[-1:] in _UNITS else ""
    try:
        size = float(number.removesuffix(unit)) * _UNITS[unit]
    except ValueError:
        size = 0.0
    if not 0 < size < math.inf:
        raise RecipeError(f"a size came as {text!r}; expected one such as 500MB or 2GB")
    return size


def _bytes_of_row(columns: Mapping[str, Tensor], rows: int, compressed: bool) -> float:
    """What a row of the sample takes on average."""
    sizes = (_packed(column) if compressed else column.nbytes for column in columns.values())
    return sum(sizes) / max(rows, 1)


def _packed(column: Tensor) -> int:
    return len(zlib.compress(column.contiguous().view(torch.uint8).numpy().tobytes(), LEVEL))


def spread_log_probs(stored: Tensor | SparseLogits, temperature: float) -> Float[Tensor, "rows classes"]:
    """Log-probabilities of all classes, in float64.

    The mass of a tail is spread evenly over the classes that are not known; without a tail they have none.

    Args:
        stored: rows of logits, or what is known of them.
        temperature: at which.
    """
    if isinstance(stored, Tensor):
        return (stored.double() / temperature).log_softmax(-1)
    scores, tail = stored.at(temperature)
    unknown = stored.num_classes - scores.shape[-1]
    rest = torch.zeros(*scores.shape[:-1], 1, dtype=torch.float64)
    if tail is not None and unknown:
        rest = tail.double().exp().unsqueeze(-1) / unknown
    probs = rest.expand(stored.shape).clone()
    there = scores > -torch.inf
    classes = torch.where(there, stored.classes, stored.num_classes)  # padding goes beyond the last class
    wide = torch.cat([probs, probs.new_zeros(*probs.shape[:-1], 1)], -1)
    wide.scatter_(-1, classes, torch.where(there, scores.double().exp(), 0))
    return wide[..., :-1].log()
