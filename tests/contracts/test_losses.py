"""What each loss promises, over every loss that the folders hold."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

import beartype
import jaxtyping
import pytest
import torch
from torch import Tensor

import tutelage.losses
from tutelage.losses import Loss
from tutelage.types import UNLABELLED, HeadLogits, SparseLogits

NUM_CLASSES = 5
ITEMS, LENGTH, LAYERS = 6, 4, 2
SHAPES = {
    "vectors": (ITEMS, NUM_CLASSES),
    "tokens": (ITEMS, LENGTH, NUM_CLASSES),
    "maps": (ITEMS, NUM_CLASSES, 4, 4),
    "attention": (ITEMS, 2, LENGTH, LENGTH),
}
"""One shape for each layout; tokens are also a square grid of patches."""


def modules_of(package: ModuleType) -> Iterator[ModuleType]:
    for info in pkgutil.iter_modules(package.__path__, prefix=f"{package.__name__}."):
        yield importlib.import_module(info.name)


ROOMS = [module for module in modules_of(tutelage.losses) if hasattr(module, "__path__")]
FOLDERS = [room for room in ROOMS if room.__name__.rpartition(".")[2] in tutelage.losses.__all__]
FILES = [file for folder in FOLDERS for file in modules_of(folder)]


def losses_in(file: ModuleType) -> list[type[Loss]]:
    return [
        value
        for name, value in vars(file).items()
        if inspect.isclass(value) and issubclass(value, Loss) and not name.startswith("_")
        if value.__module__ == file.__name__
    ]


LOSSES = [loss for file in FILES for loss in losses_in(file)]


def slow(*values: Any) -> Any:
    """A case among many of a kind, which the quick tests leave out."""
    return pytest.param(*values, marks=pytest.mark.slow)


def each_loss(
    only: Callable[[type[Loss]], bool] = lambda _: True,
    layouts: tuple[str, ...] = tuple(SHAPES),
    *,
    last: bool = False,
) -> pytest.MarkDecorator:
    """A test over the losses that `only` takes, in their layouts among `layouts`, or the last of these."""
    held_by = {kind: [held for held in kind.layouts if held in layouts] for kind in LOSSES if only(kind)}
    cases = [(kind, held) for kind, all_of in held_by.items() for held in (all_of[-1:] if last else all_of)]
    return pytest.mark.parametrize(
        ("kind", "layout"), cases, ids=[f"{kind.__name__}-{held}" for kind, held in cases]
    )


def chunked(kind: type[Loss]) -> bool:
    return "chunk_size" in inspect.signature(kind).parameters


def mask_shape(kind: type[Loss], layout: str) -> tuple[int, ...]:
    """The finest mask whose entries are items of this loss."""
    return SHAPES[layout][:2] if layout == "tokens" and not kind.by_example else (ITEMS,)


def inputs_for(
    kind: type[Loss], layout: str, *, seed: int = 0, dtype: torch.dtype = torch.float64
) -> dict[str, Any]:
    """The arguments that a loss needs; an item of the mask is true, and an item is false."""
    generator = torch.Generator().manual_seed(seed)
    items = mask_shape(kind, layout)

    def tensor() -> Tensor:
        made = torch.randn(SHAPES[layout], generator=generator, dtype=dtype)
        return made.softmax(-1) if layout == "attention" else made

    def value() -> Any:
        return tuple(tensor() for _ in range(LAYERS)) if kind.joins_layers else tensor()

    labels = torch.randint(NUM_CLASSES, items, generator=generator)
    labels[1] = UNLABELLED
    if kind.targets == "values":
        labels = tensor()
    if kind.targets == "shares":
        labels = tensor().softmax(-1)
    if kind.targets == "several":
        labels = (tensor() > 0).to(dtype)
    mask = torch.rand(items, generator=generator) < 0.6
    mask[0], mask[2], mask[4] = True, False, True
    made = {
        "student": value(),
        "teacher": value(),
        "labels": labels,
        "ids": torch.arange(ITEMS),
        "mask": mask,
    }
    return {name: held for name, held in made.items() if name == "student" or name in kind.needs}


def made(kind: type[Loss], inputs: dict[str, Any], **options: Any) -> Loss:
    """A loss, fitted to the inputs where it learns; two have equal parameters, and memories are small."""
    torch.manual_seed(5)
    small = {"num_ids": 50, "num_negatives": 100}
    loss = kind(
        **{name: small[name] for name in small if name in inspect.signature(kind).parameters}, **options
    )
    loss.fit(inputs["student"], inputs.get("teacher"))
    return loss


def changed(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """`change` on a tensor, or on each of a tuple."""
    return tuple(map(change, value)) if isinstance(value, tuple) else change(value)


def value_and_gradient(loss: Loss, inputs: dict[str, Any]) -> tuple[Tensor, Any]:
    """The value, and the gradient in the student's form; a loss that draws, draws the same each time."""
    student = changed(inputs["student"], lambda held: held.detach().clone().requires_grad_())
    torch.manual_seed(11)
    value = loss(**{**inputs, "student": student})
    joined = student if isinstance(student, tuple) else (student,)
    found = torch.autograd.grad(value, joined, allow_unused=True, materialize_grads=True)
    return value.detach(), found if isinstance(student, tuple) else found[0]


def pick(inputs: dict[str, Any], index: Tensor | slice) -> dict[str, Any]:
    return {name: changed(held, lambda tensor: tensor[index]) for name, held in inputs.items()}


def spoil(inputs: dict[str, Any], rubbish: float) -> dict[str, Any]:
    """The same inputs with rubbish where the mask is false."""
    away = ~inputs["mask"]

    def spoilt(tensor: Tensor) -> Tensor:
        tensor = tensor.clone()
        tensor[away] = rubbish
        return tensor

    held = dict(inputs)
    for name in ("student", "teacher"):
        if name in held:
            held[name] = changed(held[name], spoilt)
    if "labels" in held:
        whole = held["labels"].ndim == away.ndim
        held["labels"] = held["labels"].masked_fill(away, 10_000) if whole else spoilt(held["labels"])
    return held


def flat(gradient: Any) -> Tensor:
    return torch.cat([each.flatten() for each in gradient]) if isinstance(gradient, tuple) else gradient


# ---------------------------------------------------------------------------------------------- the folders


def test_the_folders_are_found():
    assert len(FOLDERS) >= 2
    assert len(LOSSES) >= 5
    assert any(map(chunked, LOSSES))


def test_every_loss_stands_in_a_folder_that_is_exported():
    hidden = [file for room in ROOMS if room not in FOLDERS for file in modules_of(room)]
    assert [file.__name__ for file in hidden if losses_in(file)] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.__name__.removeprefix("tutelage.losses."))
def test_one_file_holds_one_loss_of_its_name(file):
    camel = "".join(word.capitalize() for word in file.__name__.rpartition(".")[2].split("_"))
    assert [loss.__name__ for loss in losses_in(file)] == [camel]
    assert file.__all__ == [camel]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.__name__.rpartition(".")[2])
def test_a_folder_exports_its_losses_and_nothing_else(folder):
    names = sorted(loss.__name__ for file in modules_of(folder) for loss in losses_in(file))
    assert sorted(folder.__all__) == names
    assert all(hasattr(folder, name) for name in names)


@pytest.mark.parametrize("kind", LOSSES, ids=lambda kind: kind.__name__)
def test_what_a_loss_says_of_itself(kind):
    assert kind.place in ("logits", "features")
    assert kind.layouts
    assert set(kind.layouts) <= set(SHAPES)
    assert "mask" in kind.needs
    assert kind.learns == (kind.fit is not Loss.fit)
    for parameter in inspect.signature(kind).parameters.values():
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        assert parameter.default is not inspect.Parameter.empty
    for heading in ("Shapes:", "Raises:", "Source:", "Example:"):
        assert heading in (kind.__doc__ or "")


# ------------------------------------------------------------------------------------ values and gradients


@each_loss()
@pytest.mark.parametrize("dtype", [torch.bfloat16, slow(torch.float32)], ids=str)
def test_the_result_is_a_scalar_in_float32(kind, layout, dtype):
    inputs = inputs_for(kind, layout, dtype=dtype)
    value, gradient = value_and_gradient(made(kind, inputs), inputs)
    assert value.shape == ()
    assert value.dtype == torch.float32
    assert flat(gradient).dtype == dtype


@each_loss(layouts=("vectors", "tokens", "maps"))
@pytest.mark.parametrize(
    ("scale", "dtype"),
    [
        (1e4, torch.float32),
        (1e4, torch.bfloat16),
        (0.0, torch.float32),
        slow(-1e4, torch.float32),
        slow(-1e4, torch.bfloat16),
        slow(0.0, torch.bfloat16),
    ],
    ids=str,
)
def test_extreme_inputs_give_finite_numbers(kind, layout, dtype, scale):
    inputs = inputs_for(kind, layout, dtype=dtype)
    inputs["student"] = changed(inputs["student"], lambda held: held.sign() * scale)
    if "teacher" in inputs:
        inputs["teacher"] = changed(inputs["teacher"], lambda held: held.sign() * abs(scale))
    value, gradient = value_and_gradient(made(kind, inputs), inputs)
    assert value.isfinite()
    assert flat(gradient).isfinite().all()
    if kind.place == "logits":
        assert flat(gradient).abs().max() <= 2 * abs(scale) + 10


@each_loss()
def test_gradient_reaches_the_student_and_never_the_teacher(kind, layout):
    inputs = inputs_for(kind, layout)
    if "teacher" in inputs:
        inputs["teacher"] = changed(inputs["teacher"], lambda held: held.requires_grad_())
    loss = made(kind, inputs)
    student = changed(inputs["student"], lambda held: held.requires_grad_())
    loss(**{**inputs, "student": student}).backward()
    for held in student if isinstance(student, tuple) else (student,):
        assert held.grad is not None
        assert held.grad.abs().sum() > 0
    if "teacher" in inputs:
        teacher = inputs["teacher"]
        assert all(held.grad is None for held in (teacher if isinstance(teacher, tuple) else (teacher,)))


@each_loss(lambda kind: kind.learns)
def test_what_a_loss_learns_gets_gradients(kind, layout):
    inputs = inputs_for(kind, layout)
    inputs["student"] = changed(inputs["student"], lambda held: held.requires_grad_())
    loss = made(kind, inputs)
    loss(**inputs).backward()
    assert [name for name, held in loss.named_parameters() if held.grad is None] == []


@each_loss(lambda kind: kind.learns)
def test_a_loss_that_learns_must_be_fitted_first(kind, layout):
    with pytest.raises(ValueError, match=r"fit\(student, teacher\)"):
        kind()(**inputs_for(kind, layout))


@each_loss()
def test_the_gradient_is_the_slope(kind, layout):
    inputs = inputs_for(kind, layout)
    loss = made(kind, inputs)
    joined = inputs["student"] if kind.joins_layers else (inputs["student"],)

    def value(*student: Tensor) -> Tensor:
        torch.manual_seed(11)
        return loss(**{**inputs, "student": student if kind.joins_layers else student[0]})

    assert torch.autograd.gradcheck(value, tuple(held.requires_grad_() for held in joined), fast_mode=True)


@each_loss(lambda kind: "teacher" in kind.needs and kind.least_at_teacher)
def test_a_student_that_equals_the_teacher_is_the_minimum(kind, layout):
    inputs = inputs_for(kind, layout)
    loss = made(kind, inputs)
    least, gradient = value_and_gradient(loss, {**inputs, "student": inputs["teacher"]})
    torch.testing.assert_close(flat(gradient), torch.zeros_like(flat(gradient)), atol=1e-7, rtol=0)
    torch.testing.assert_close(least, torch.zeros_like(least), atol=1e-9, rtol=0)
    generator = torch.Generator().manual_seed(1)
    for scale in (1e-3, 1e-1, 1.0, 10.0):

        def beside(held: Tensor, scale: float = scale) -> Tensor:
            return held + scale * torch.randn(held.shape, generator=generator, dtype=torch.float64)

        student = changed(inputs["teacher"], beside)
        assert value_and_gradient(loss, {**inputs, "student": student})[0] > least


# ------------------------------------------------------------------------------------------------ the edges


def narrowed(layout: str, held: Tensor) -> Tensor:
    """One class, channel or position."""
    return held[:, :1] if layout == "maps" else held[..., :1, :1] if layout == "attention" else held[..., :1]


def of_both(inputs: dict[str, Any], change: Callable[[Tensor], Tensor], *names: str) -> dict[str, Any]:
    names = names or ("student", "teacher")
    return {name: changed(held, change) if name in names else held for name, held in inputs.items()}


def edges(kind: type[Loss], layout: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """What a loss may meet at the edge of what it is for."""
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        yield f"{dtype}", inputs_for(kind, layout, dtype=dtype)
    plain = inputs_for(kind, layout, dtype=torch.float32)
    yield "one item", pick(plain, slice(0, 1))
    plain["mask"] = None
    one = of_both(plain, lambda held: narrowed(layout, held))
    if "labels" in one:
        classes = kind.targets == "classes"
        one["labels"] = one["labels"].clamp(max=0) if classes else narrowed(layout, one["labels"])
    yield "one class", one
    names = [("student",), *([("teacher",), ("student", "teacher")] if "teacher" in plain else [])]
    for who in names:
        yield f"equal rows of {who}", of_both(plain, lambda held: held[:1].expand_as(held).clone(), *who)
        yield f"equal numbers of {who}", of_both(plain, lambda held: torch.full_like(held, 0.1), *who)
        yield f"zeros of {who}", of_both(plain, torch.zeros_like, *who)
    if kind.place == "logits":
        away = torch.tensor([0.0] * (NUM_CLASSES - 1) + [-torch.inf])
        ruled_out = of_both(plain, lambda held: held + away)
        if "labels" in ruled_out and kind.targets == "classes":
            ruled_out["labels"] = ruled_out["labels"].clamp(max=NUM_CLASSES - 2)
        elif "labels" in ruled_out:  # no share of it, and no
            ruled_out["labels"] = ruled_out["labels"].where(away == 0, 0.0)
        if kind.targets != "values" or "teacher" in kind.needs:
            yield "a class at -inf", ruled_out


@each_loss(last=True)
def test_edges_give_finite_numbers_or_an_error_in_words(kind, layout):
    for name, inputs in edges(kind, layout):
        try:
            loss = made(kind, inputs)
            student = changed(inputs["student"], lambda held: held.clone().requires_grad_())
            value = loss(**{**inputs, "student": student})
        except ValueError as error:
            assert "expected" in str(error), name  # noqa: PT017
            continue
        value.backward()
        slopes = [held.grad for held in (student if isinstance(student, tuple) else (student,))]
        slopes += [held.grad for held in loss.parameters()]
        assert value.isfinite(), name
        for slope in slopes:
            assert slope is None or slope.abs().max() < 1e3, name  # a constant divided by its rounding is 1e6


@each_loss(last=True)
def test_zero_items_and_masked_ones_have_a_second_derivative_or_it_is_refused(kind, layout):
    inputs = inputs_for(kind, layout)
    student = changed(
        inputs["student"], lambda held: held.index_fill(0, torch.tensor([0]), 0).requires_grad_()
    )
    joined = student if isinstance(student, tuple) else (student,)
    options = {"allow_unused": True, "materialize_grads": True}
    loss = made(kind, inputs)
    slopes = torch.autograd.grad(loss(**{**inputs, "student": student}), joined, create_graph=True, **options)
    try:
        total = sum(slope.square().sum() for slope in slopes)
        seconds = torch.autograd.grad(total, joined, **options)
    except NotImplementedError as error:
        assert "a first" in str(error)  # noqa: PT017
        return
    assert all(second.isfinite().all() for second in seconds)


@each_loss(last=True)
def test_answers_may_be_made_under_inference_mode(kind, layout):
    inputs = inputs_for(kind, layout)
    forms = [inputs, *([as_heads(kind, inputs)] if kind.reads_heads else [])]
    forms += [as_few(kind, inputs)] if kind.reads_sparse else []
    for form in forms:
        expected, expected_gradient = value_and_gradient(made(kind, inputs), inputs)
        with torch.inference_mode():
            lent = {name: copied(held) for name, held in form.items() if name != "student"}
        value, gradient = value_and_gradient(made(kind, inputs), {**lent, "student": inputs["student"]})
        torch.testing.assert_close(value, expected)
        torch.testing.assert_close(flat(gradient), flat(expected_gradient))
    if chunked(kind):
        with torch.inference_mode():
            lent = {name: copied(held) for name, held in inputs.items() if name != "student"}
        value_and_gradient(made(kind, inputs, chunk_size=2), {**lent, "student": inputs["student"]})


def copied(value: Any) -> Any:
    """The same numbers in memory of their own."""
    if isinstance(value, HeadLogits):
        return HeadLogits(value.hidden.clone(), value.weight.clone())
    if isinstance(value, SparseLogits):
        return replace(value, classes=value.classes.clone(), scores=value.scores.clone())
    return changed(value, torch.clone)


# -------------------------------------------------------------------------------------- other forms of logits


def as_heads(kind: type[Loss], inputs: dict[str, Any]) -> dict[str, Any]:
    """Student and teacher through a head that changes nothing."""
    eye = torch.eye(NUM_CLASSES, dtype=torch.float64)
    return {
        name: HeadLogits(held, eye) if name in ("student", "teacher") else held
        for name, held in inputs.items()
    }


def as_few(kind: type[Loss], inputs: dict[str, Any]) -> dict[str, Any]:
    """The teacher by its classes, all of which are known, at the loss's temperature."""
    at = getattr(kind(), "temperature", 1.0)
    scores, classes = (inputs["teacher"] / at).log_softmax(-1).sort(-1)
    return {**inputs, "teacher": SparseLogits(classes, scores, NUM_CLASSES, temperature=at)}


@each_loss(lambda kind: kind.place == "logits", layouts=("vectors", "tokens"))
@pytest.mark.parametrize("form", [as_heads, as_few], ids=["heads", "few"])
def test_a_loss_reads_what_it_says_it_reads_and_nothing_else(kind, layout, form):
    inputs = inputs_for(kind, layout)
    if form is as_few and "teacher" not in inputs:
        assert not kind.reads_sparse
        return
    loss = made(kind, inputs)
    if not (kind.reads_heads if form is as_heads else kind.reads_sparse):
        with pytest.raises((ValueError, TypeError, AttributeError)):
            loss(**form(kind, inputs))
        return
    inputs["student"].requires_grad_()
    found, expected = loss(**form(kind, inputs)), loss(**inputs)
    torch.testing.assert_close(found, expected)
    slopes = [torch.autograd.grad(value, inputs["student"])[0] for value in (found, expected)]
    torch.testing.assert_close(*slopes)


# -------------------------------------------------------------------------- the mask and the one denominator


@each_loss()
@pytest.mark.parametrize("rubbish", [float("nan"), 1e30, slow(float("inf")), slow(float("-inf"))])
def test_masked_items_count_for_nothing(kind, layout, rubbish):
    inputs = inputs_for(kind, layout)
    loss, mask = made(kind, inputs), inputs["mask"]
    value, gradient = value_and_gradient(loss, spoil(inputs, rubbish))
    expected, expected_gradient = value_and_gradient(loss, spoil(inputs, 0.0))
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(flat(gradient), flat(expected_gradient))
    assert all(
        (held[~mask] == 0).all() for held in (gradient if isinstance(gradient, tuple) else (gradient,))
    )


@each_loss(lambda kind: not kind.draws)
def test_masked_items_might_as_well_be_absent(kind, layout):
    inputs = inputs_for(kind, layout)
    loss, mask = made(kind, inputs), inputs["mask"]
    kept = pick({name: held for name, held in inputs.items() if name != "ids"}, mask)
    if "ids" in inputs:
        kept["ids"] = inputs["ids"][mask] if mask.ndim == 1 else torch.arange(int(mask.sum()))
    if kind.joins_layers and mask.ndim > 1:
        pytest.skip("positions of several layers are no vectors")
    if mask.ndim > 1 and "vectors" not in kind.layouts:
        pytest.skip("a position is no item of its own")
    value, gradient = value_and_gradient(loss, inputs)
    expected, expected_gradient = value_and_gradient(loss, kept)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(flat(changed(gradient, lambda held: held[mask])), flat(expected_gradient))


@each_loss(layouts=("tokens",))
def test_a_mask_of_examples_covers_their_positions(kind, layout):
    inputs = inputs_for(kind, layout)
    loss = made(kind, inputs)
    mask = torch.tensor([True, False, True, True, False, True])
    per_example, _ = value_and_gradient(loss, {**inputs, "mask": mask})
    positions = mask[:, None].expand(ITEMS, LENGTH)
    per_position, _ = value_and_gradient(loss, {**inputs, "mask": positions})
    torch.testing.assert_close(per_example, per_position)


@each_loss(layouts=("tokens",))
@pytest.mark.parametrize("rubbish", [float("nan"), 1e30])
def test_masked_positions_of_an_example_that_counts(kind, layout, rubbish):
    inputs = inputs_for(kind, layout)
    inputs["mask"] = torch.rand(ITEMS, LENGTH, generator=torch.Generator().manual_seed(3)) < 0.7
    if "labels" in inputs and inputs["labels"].ndim == 1:
        inputs.pop("labels")
        pytest.skip("labels of examples have no positions")
    loss = made(kind, inputs)
    value, gradient = value_and_gradient(loss, spoil(inputs, rubbish))
    expected, expected_gradient = value_and_gradient(loss, spoil(inputs, 0.0))
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(flat(gradient), flat(expected_gradient))


@each_loss()
def test_no_mask_is_a_mask_that_is_true_everywhere(kind, layout):
    inputs = inputs_for(kind, layout)
    loss = made(kind, inputs)
    everything, _ = value_and_gradient(loss, {**inputs, "mask": torch.ones_like(inputs["mask"])})
    torch.testing.assert_close(value_and_gradient(loss, {**inputs, "mask": None})[0], everything)


@each_loss()
@pytest.mark.parametrize("rubbish", [float("nan"), slow(1.0)])
def test_all_masked_is_zero(kind, layout, rubbish):
    inputs = inputs_for(kind, layout)
    loss = made(kind, inputs)
    inputs["student"] = changed(inputs["student"], lambda held: held * rubbish)
    value, gradient = value_and_gradient(loss, {**inputs, "mask": torch.zeros_like(inputs["mask"])})
    assert value == 0
    assert (flat(gradient) == 0).all()


@each_loss()
@pytest.mark.parametrize("masked", [True, slow(False)], ids=["mask", "no-mask"])
def test_an_empty_batch_is_zero(kind, layout, masked):
    whole = inputs_for(kind, layout)
    inputs = pick(whole, slice(0, 0))
    value, _ = value_and_gradient(made(kind, whole), inputs if masked else {**inputs, "mask": None})
    assert value == 0


@each_loss(lambda kind: not kind.compares_items and not kind.draws)
def test_micro_batches_add_up_by_their_share_of_the_count(kind, layout):
    inputs = inputs_for(kind, layout)
    loss = made(kind, inputs)
    whole, whole_gradient = value_and_gradient(loss, inputs)
    total, gradients = torch.zeros((), dtype=torch.float64), []
    for part in (slice(0, 1), slice(1, 4), slice(4, 6)):
        micro = pick(inputs, part)
        share = micro["mask"].sum() / inputs["mask"].sum()
        value, gradient = value_and_gradient(loss, micro)
        total += share * value
        gradients.append(changed(gradient, lambda held, share=share: share * held))
    torch.testing.assert_close(total, whole)
    if kind.joins_layers:
        joined = tuple(torch.cat(layer) for layer in zip(*gradients, strict=True))
    else:
        joined = torch.cat(gradients)
    torch.testing.assert_close(flat(joined), flat(whole_gradient))


@each_loss(lambda kind: not kind.draws)
def test_the_order_of_the_batch_does_not_matter(kind, layout):
    inputs = inputs_for(kind, layout)
    loss, order = made(kind, inputs), torch.tensor([3, 0, 5, 1, 4, 2])
    value, gradient = value_and_gradient(loss, inputs)
    shuffled, shuffled_gradient = value_and_gradient(loss, pick(inputs, order))
    torch.testing.assert_close(shuffled, value)
    torch.testing.assert_close(flat(shuffled_gradient), flat(changed(gradient, lambda held: held[order])))


@each_loss(chunked)
@pytest.mark.parametrize("size", [1, 5, 7, 100, *(slow(size) for size in (2, 4, 6, 17, 18))])
def test_chunks_give_what_the_whole_gives(kind, layout, size):
    inputs = inputs_for(kind, layout)
    loss, whole = made(kind, inputs, chunk_size=size), made(kind, inputs)
    value, gradient = value_and_gradient(loss, spoil(inputs, float("nan")))
    expected, expected_gradient = value_and_gradient(whole, inputs)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(flat(gradient), flat(expected_gradient))
    at_teacher = {**inputs, "student": inputs["teacher"], "mask": None}
    torch.testing.assert_close(loss(**at_teacher), whole(**at_teacher))


@each_loss(chunked, layouts=("vectors",))
def test_chunks_that_are_all_masked_and_batches_that_are_empty(kind, layout):
    inputs = inputs_for(kind, layout)
    inputs["mask"] = torch.tensor([True, False, False, False, False, True])
    torch.testing.assert_close(kind(chunk_size=2)(**inputs), kind()(**inputs))
    assert kind(chunk_size=2)(**pick(inputs, slice(0, 0))) == 0


# ------------------------------------------------------------------------------------------- wrong and right


@each_loss()
def test_wrong_shapes_are_refused(kind, layout):
    inputs = inputs_for(kind, layout)
    loss = made(kind, inputs)
    wrong: dict[str, dict[str, Any]] = {
        "a mask of another length": {"mask": inputs["mask"][:-1]},
        "a mask with too many axes": {"mask": inputs["mask"][..., None, None, None, None]},
        "a mask of no axes": {"mask": torch.tensor(True)},
        "a mask of numbers": {"mask": inputs["mask"].long()},
    }
    if "teacher" in inputs:
        teacher = inputs["teacher"]
        wrong["a teacher of another length"] = {"teacher": changed(teacher, lambda held: held[:-1])}
        wrong["a teacher that would broadcast"] = {"teacher": changed(teacher, lambda held: held[:1])}
        if (kind.place == "logits" and not kind.any_widths) or kind.same_shape:
            wrong["a teacher of another width"] = {"teacher": changed(teacher, lambda held: held[..., :-1])}
        if kind.joins_layers:
            wrong["a teacher of fewer layers"] = {"teacher": teacher[:-1]}
    if "labels" in inputs:
        wrong["labels of another length"] = {"labels": inputs["labels"][..., :-1]}
        if kind.targets == "classes":
            wrong["labels that are not indices"] = {"labels": inputs["labels"].double()}
    if kind.place == "logits":
        wrong["logits without classes"] = {
            name: inputs[name][..., 0].flatten() for name in ("student", "teacher") if name in inputs
        }
    for what, change in wrong.items():
        with pytest.raises(ValueError, match=r"expected|must|pass"):
            pytest.fail(f"{what} was taken: {loss(**{**inputs, **change})}")


@each_loss(lambda kind: not kind.joins_layers)
def test_the_annotated_shapes_are_the_shapes(kind, layout):
    checked = jaxtyping.jaxtyped(typechecker=beartype.beartype)(kind.forward)
    inputs = inputs_for(kind, layout)
    loss = made(kind, inputs)
    assert checked(loss, **inputs).shape == ()
    assert checked(loss, **{**inputs, "mask": None}).shape == ()
    partner = next(name for name in ("teacher", "labels", "ids") if name in inputs)
    for name, value in {"mask": inputs["mask"].long(), partner: inputs[partner][:-1]}.items():
        if name == "mask" or kind.same_shape or kind.place == "logits":
            with pytest.raises(jaxtyping.TypeCheckError):
                checked(loss, **{**inputs, name: value})


@pytest.mark.slow
@each_loss(last=True)
def test_compiled_is_eager(kind, layout):
    inputs = inputs_for(kind, layout)
    torch.compiler.reset()
    compiled = torch.compile(made(kind, inputs), backend="aot_eager", fullgraph=True)
    value, gradient = value_and_gradient(compiled, inputs)
    expected, expected_gradient = value_and_gradient(made(kind, inputs), inputs)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(flat(gradient), flat(expected_gradient))


@pytest.mark.slow
@each_loss(chunked, layouts=("vectors",))
def test_compiled_chunks_are_eager_chunks(kind, layout):
    inputs = inputs_for(kind, layout)
    torch.compiler.reset()
    compiled = torch.compile(made(kind, inputs, chunk_size=4), backend="aot_eager")
    value, gradient = value_and_gradient(compiled, inputs)
    expected, expected_gradient = value_and_gradient(made(kind, inputs), inputs)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(flat(gradient), flat(expected_gradient))
