"""What each loss promises, over every loss that the folders hold."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType

import beartype
import jaxtyping
import pytest
import torch
from torch import Tensor

import tutelage.losses
from tutelage.losses import Loss
from tutelage.types import UNLABELLED

NUM_CLASSES = 5
LAYOUTS = {"flat": (6,), "sequence": (6, 3)}


def modules_of(package: ModuleType) -> Iterator[ModuleType]:
    for info in pkgutil.iter_modules(package.__path__, prefix=f"{package.__name__}."):
        yield importlib.import_module(info.name)


FOLDERS = [module for module in modules_of(tutelage.losses) if hasattr(module, "__path__")]
FILES = [file for folder in FOLDERS for file in modules_of(folder)]


def losses_in(file: ModuleType) -> list[type[Loss]]:
    return [
        value
        for name, value in vars(file).items()
        if inspect.isclass(value) and issubclass(value, Loss) and not name.startswith("_")
        if value.__module__ == file.__name__
    ]


LOSSES = [loss for file in FILES for loss in losses_in(file)]
CHUNKED = [loss for loss in LOSSES if "chunk_size" in inspect.signature(loss).parameters]

each_loss = pytest.mark.parametrize("kind", LOSSES, ids=lambda kind: kind.__name__)
each_layout = pytest.mark.parametrize("layout", LAYOUTS)


def logits_inputs(items: tuple[int, ...], seed: int, dtype: torch.dtype) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(NUM_CLASSES, items, generator=generator)
    labels[1] = UNLABELLED
    return {
        "student": torch.randn(*items, NUM_CLASSES, generator=generator, dtype=dtype),
        "teacher": torch.randn(*items, NUM_CLASSES, generator=generator, dtype=dtype),
        "labels": labels,
        "ids": torch.arange(items[0]),
        "mask": torch.rand(items, generator=generator) < 0.6,
    }


def features_inputs(items: tuple[int, ...], seed: int, dtype: torch.dtype) -> dict[str, Tensor]:
    return logits_inputs(items, seed, dtype)  # a feature [items, ..., channels] has the shape of logits


FACTORIES = {"logits": logits_inputs, "features": features_inputs}


def inputs_for(
    kind: type[Loss], layout: str = "flat", *, seed: int = 0, dtype: torch.dtype = torch.float64
) -> dict[str, Tensor]:
    """The arguments that a loss needs; an item of the mask is true, and an item is false."""
    made = FACTORIES[kind.place](LAYOUTS[layout], seed, dtype)
    made["mask"][0], made["mask"][2] = True, False
    return {name: value for name, value in made.items() if name == "student" or name in kind.needs}


def value_and_gradient(loss: Loss, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    student = inputs["student"].detach().clone().requires_grad_()
    value = loss(**{**inputs, "student": student})
    (gradient,) = torch.autograd.grad(value, student)
    return value.detach(), gradient


def pick(inputs: dict[str, Tensor], index: Tensor | slice) -> dict[str, Tensor]:
    return {name: tensor[index] for name, tensor in inputs.items()}


# ---------------------------------------------------------------------------------------------- the folders


def test_the_folders_are_found():
    assert len(FOLDERS) >= 2
    assert len(LOSSES) >= 5
    assert CHUNKED


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


@each_loss
def test_what_a_loss_says_of_itself(kind):
    assert kind.place in FACTORIES
    assert "mask" in kind.needs
    for parameter in inspect.signature(kind).parameters.values():
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        assert parameter.default is not inspect.Parameter.empty
    for heading in ("Shapes:", "Raises:", "Source:", "Example:"):
        assert heading in (kind.__doc__ or "")


# ------------------------------------------------------------------------------------ values and gradients


@each_loss
@each_layout
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_the_result_is_a_scalar_in_float32(kind, layout, dtype):
    value, gradient = value_and_gradient(kind(), inputs_for(kind, layout, dtype=dtype))
    assert value.shape == ()
    assert value.dtype == torch.float32
    assert gradient.dtype == dtype


@each_loss
@each_layout
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("scale", [1e4, -1e4, 0.0])
def test_extreme_inputs_give_finite_numbers(kind, layout, dtype, scale):
    inputs = inputs_for(kind, layout, dtype=dtype)
    inputs["student"] = inputs["student"].sign() * scale
    if "teacher" in inputs:
        inputs["teacher"] = inputs["teacher"].sign() * abs(scale)
    value, gradient = value_and_gradient(kind(), inputs)
    assert value.isfinite()
    assert gradient.isfinite().all()
    assert gradient.abs().max() <= 2 * abs(scale) + 10


@each_loss
@each_layout
def test_gradient_reaches_the_student_and_never_the_teacher(kind, layout):
    inputs = inputs_for(kind, layout)
    inputs["student"].requires_grad_()
    if "teacher" in inputs:
        inputs["teacher"].requires_grad_()
    kind()(**inputs).backward()
    assert inputs["student"].grad.abs().sum() > 0
    if "teacher" in inputs:
        assert inputs["teacher"].grad is None


@each_loss
@each_layout
def test_the_gradient_is_the_slope(kind, layout):
    inputs = inputs_for(kind, layout)
    loss = kind()
    assert torch.autograd.gradcheck(
        lambda student: loss(**{**inputs, "student": student}), inputs["student"].requires_grad_()
    )


@pytest.mark.parametrize(
    "kind",
    [kind for kind in LOSSES if "teacher" in kind.needs and kind.least_at_teacher],
    ids=lambda kind: kind.__name__,
)
@each_layout
def test_a_student_that_equals_the_teacher_is_the_minimum(kind, layout):
    inputs = inputs_for(kind, layout)
    least, gradient = value_and_gradient(kind(), {**inputs, "student": inputs["teacher"]})
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-9, rtol=0)
    torch.testing.assert_close(least, torch.zeros_like(least), atol=1e-9, rtol=0)
    generator = torch.Generator().manual_seed(1)
    for scale in (1e-3, 1e-1, 1.0, 10.0):
        noise = torch.randn(inputs["teacher"].shape, generator=generator, dtype=torch.float64)
        assert kind()(**{**inputs, "student": inputs["teacher"] + scale * noise}) > least


# -------------------------------------------------------------------------- the mask and the one denominator


@each_loss
@each_layout
@pytest.mark.parametrize("rubbish", [float("nan"), float("inf"), float("-inf"), 1e30])
def test_masked_items_count_for_nothing(kind, layout, rubbish):
    inputs = inputs_for(kind, layout)
    mask = inputs["mask"]
    kept = {name: tensor[mask] for name, tensor in inputs.items() if name != "ids"}
    if "ids" in inputs:
        kept["ids"] = torch.arange(int(mask.sum()))
    spoilt = {name: tensor.clone() for name, tensor in inputs.items()}
    for name in ("student", "teacher"):
        if name in spoilt:
            spoilt[name][~mask] = rubbish
    if "labels" in spoilt:
        spoilt["labels"][~mask] = 10_000
    value, gradient = value_and_gradient(kind(), spoilt)
    expected, expected_gradient = value_and_gradient(kind(), kept)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(gradient[mask], expected_gradient)
    assert (gradient[~mask] == 0).all()


@each_loss
def test_a_mask_of_examples_covers_their_positions(kind):
    inputs = inputs_for(kind, "sequence")
    examples = torch.tensor([True, False, True, True, False, True])
    per_example = kind()(**{**inputs, "mask": examples})
    per_position = kind()(**{**inputs, "mask": examples[:, None].expand(LAYOUTS["sequence"])})
    torch.testing.assert_close(per_example, per_position)


@each_loss
@each_layout
def test_no_mask_is_a_mask_that_is_true_everywhere(kind, layout):
    inputs = inputs_for(kind, layout)
    everything = kind()(**{**inputs, "mask": torch.ones(LAYOUTS[layout], dtype=torch.bool)})
    torch.testing.assert_close(kind()(**{**inputs, "mask": None}), everything)


@each_loss
@each_layout
@pytest.mark.parametrize("rubbish", [1.0, float("nan")])
def test_all_masked_is_zero(kind, layout, rubbish):
    inputs = inputs_for(kind, layout)
    inputs["student"] = inputs["student"] * rubbish
    value, gradient = value_and_gradient(kind(), {**inputs, "mask": torch.zeros_like(inputs["mask"])})
    assert value == 0
    assert (gradient == 0).all()


@each_loss
@pytest.mark.parametrize("masked", [True, False], ids=["mask", "no-mask"])
def test_an_empty_batch_is_zero(kind, masked):
    inputs = pick(inputs_for(kind), slice(0, 0))
    value, _ = value_and_gradient(kind(), inputs if masked else {**inputs, "mask": None})
    assert value == 0


@pytest.mark.parametrize(
    "kind", [kind for kind in LOSSES if not kind.compares_items], ids=lambda kind: kind.__name__
)
@each_layout
def test_micro_batches_add_up_by_their_share_of_the_count(kind, layout):
    inputs = inputs_for(kind, layout)
    whole, whole_gradient = value_and_gradient(kind(), inputs)
    total, gradients = torch.zeros((), dtype=torch.float64), []
    for part in (slice(0, 1), slice(1, 4), slice(4, 6)):
        micro = pick(inputs, part)
        share = micro["mask"].sum() / inputs["mask"].sum()
        value, gradient = value_and_gradient(kind(), micro)
        total += share * value
        gradients.append(share * gradient)
    torch.testing.assert_close(total, whole)
    torch.testing.assert_close(torch.cat(gradients), whole_gradient)


@each_loss
@each_layout
def test_the_order_of_the_batch_does_not_matter(kind, layout):
    inputs = inputs_for(kind, layout)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    value, gradient = value_and_gradient(kind(), inputs)
    shuffled, shuffled_gradient = value_and_gradient(kind(), pick(inputs, order))
    torch.testing.assert_close(shuffled, value)
    torch.testing.assert_close(shuffled_gradient, gradient[order])


@pytest.mark.parametrize("kind", CHUNKED, ids=lambda kind: kind.__name__)
@each_layout
@pytest.mark.parametrize("size", [1, 2, 4, 5, 6, 7, 17, 18, 100])
def test_chunks_give_what_the_whole_gives(kind, layout, size):
    inputs = inputs_for(kind, layout)
    inputs["student"][~inputs["mask"]] = float("nan")
    value, gradient = value_and_gradient(kind(chunk_size=size), inputs)
    expected, expected_gradient = value_and_gradient(kind(), inputs)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(gradient, expected_gradient)
    torch.testing.assert_close(
        kind(chunk_size=size)(**{**inputs, "student": inputs["teacher"], "mask": None}),
        kind()(**{**inputs, "student": inputs["teacher"], "mask": None}),
    )


@pytest.mark.parametrize("kind", CHUNKED, ids=lambda kind: kind.__name__)
def test_chunks_that_are_all_masked_and_batches_that_are_empty(kind):
    inputs = inputs_for(kind)
    inputs["mask"] = torch.tensor([True, False, False, False, False, True])
    torch.testing.assert_close(kind(chunk_size=2)(**inputs), kind()(**inputs))
    assert kind(chunk_size=2)(**pick(inputs, slice(0, 0))) == 0


# ------------------------------------------------------------------------------------------- wrong and right


@each_loss
@each_layout
def test_wrong_shapes_are_refused(kind, layout):
    inputs = inputs_for(kind, layout)
    length = LAYOUTS[layout][-1]
    wrong = {
        "a mask of another length": {"mask": inputs["mask"][..., : length - 1]},
        "a mask with too many axes": {"mask": inputs["mask"][..., None, None, None]},
        "a mask of no axes": {"mask": torch.tensor(True)},
        "a mask of numbers": {"mask": inputs["mask"].long()},
    }
    if "teacher" in inputs and (kind.place == "logits" or kind.same_shape):
        wrong["a teacher of another width"] = {"teacher": inputs["teacher"][..., :-1]}
        wrong["a teacher of another length"] = {"teacher": inputs["teacher"][:-1]}
        wrong["a teacher that would broadcast"] = {"teacher": inputs["teacher"][:1]}
    if "labels" in inputs:
        wrong["labels of another length"] = {"labels": inputs["labels"][..., : length - 1]}
        wrong["labels that are not indices"] = {"labels": inputs["labels"].double()}
    if kind.place == "logits":
        wrong["logits without classes"] = {
            name: inputs[name][..., 0].flatten() for name in ("student", "teacher") if name in inputs
        }
    for what, change in wrong.items():
        with pytest.raises(ValueError, match=r"expected|must|pass"):
            pytest.fail(f"{what} was taken: {kind()(**{**inputs, **change})}")


@each_loss
@each_layout
def test_the_annotated_shapes_are_the_shapes(kind, layout):
    checked = jaxtyping.jaxtyped(typechecker=beartype.beartype)(kind.forward)
    inputs = inputs_for(kind, layout)
    assert checked(kind(), **inputs).shape == ()
    assert checked(kind(), **{**inputs, "mask": None}).shape == ()
    partner = "teacher" if "teacher" in inputs else "labels"
    for name, value in {"mask": inputs["mask"].long(), partner: inputs[partner][:-1]}.items():
        if name == "mask" or kind.same_shape or kind.place == "logits":
            with pytest.raises(jaxtyping.TypeCheckError):
                checked(kind(), **{**inputs, name: value})


@each_loss
def test_compiled_is_eager(kind):
    inputs = inputs_for(kind, "sequence")
    torch.compiler.reset()
    compiled = torch.compile(kind(), backend="aot_eager", fullgraph=True)
    value, gradient = value_and_gradient(compiled, inputs)
    expected, expected_gradient = value_and_gradient(kind(), inputs)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(gradient, expected_gradient)


@pytest.mark.parametrize("kind", CHUNKED, ids=lambda kind: kind.__name__)
def test_compiled_chunks_are_eager_chunks(kind):
    inputs = inputs_for(kind)
    torch.compiler.reset()
    compiled = torch.compile(kind(chunk_size=4), backend="aot_eager")
    value, gradient = value_and_gradient(compiled, inputs)
    expected, expected_gradient = value_and_gradient(kind(), inputs)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(gradient, expected_gradient)
