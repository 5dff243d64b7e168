"""What every teacher that the folder exports must do."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tutelage import teachers
from tutelage.answers import Dense, Manifest, Place, columns_of, write_shard
from tutelage.errors import ModelError
from tutelage.teachers import (
    Ahead,
    Cautious,
    Committee,
    Ensemble,
    Frozen,
    Function,
    Heads,
    MovingAverage,
    Panel,
    PastSelf,
    Predictor,
    Remembered,
    SomeClasses,
    Stored,
    Teacher,
    Union,
    Virtual,
    WithoutAdapter,
)
from tutelage.types import Batch, Outputs


class DropPath(nn.Module):
    """Stochastic depth: in training, an example skips the branch with probability 0.9."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        return x * (torch.rand(len(x), 1) > 0.9) / 0.1


class Net(nn.Module):
    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 8)
        self.norm = nn.BatchNorm1d(8)
        self.dropout = nn.Dropout(0.9)
        self.drop_path = DropPath()
        self.head = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.layer(x))
        return self.head(y + self.drop_path(self.dropout(y)))


def predict(rows: np.ndarray) -> np.ndarray:
    scores = np.exp(rows[:, :3])
    return scores / scores.sum(1, keepdims=True)


def stored() -> Stored:
    place, form, asked = Place("memory://answers-of-contracts"), Dense(), batch()
    manifest = Manifest("t", {}, form.text, 3, 1)
    manifest.begin(place)
    write_shard(place, 0, columns_of([(asked, Outputs(asked.inputs[:, :3]))], form, {}))
    manifest.finish(place)
    return Stored("memory://answers-of-contracts")


def with_adapter() -> WithoutAdapter:
    peft = pytest.importorskip("peft", reason="PEFT is not installed: pip install 'tutelage[peft]'")
    config = peft.LoraConfig(r=2, target_modules=["layer"], init_lora_weights=False)
    teacher = WithoutAdapter().beside(peft.inject_adapter_in_model(config, Net()))
    teacher.watch(["head"])
    return teacher


FACTORIES: dict[type[Teacher], Callable[[], Teacher]] = {
    Ahead: lambda: Ahead(Frozen(Net(), layers=["layer"])),
    Cautious: lambda: Cautious(Frozen(Net(), layers=["layer"]), least=0.4),
    Committee: lambda: Committee([Frozen(Net()), Frozen(Net())]),
    Ensemble: lambda: Ensemble([Frozen(Net()), Frozen(Net())], weights=[1, 3]),
    Frozen: lambda: Frozen(Net(), layers=["layer"]),
    Function: lambda: Function(lambda inputs: inputs[:, :3]),
    Heads: lambda: Heads({"one": Frozen(Net(1)), "two": Frozen(Net(2))}),
    MovingAverage: lambda: MovingAverage().beside(Net()),
    Panel: lambda: Panel([Frozen(Net()), Frozen(Net())], by="agreement"),
    PastSelf: lambda: PastSelf().beside(Net()),
    Predictor: lambda: Predictor(predict),
    Remembered: lambda: Remembered(Frozen(Net())),
    SomeClasses: lambda: SomeClasses(Frozen(Net(5), layers=["layer"]), [4, 0, 2]),
    Stored: stored,
    Union: lambda: Union([Frozen(Net(2)), Frozen(Net(2))], [[0, 1], [1, 2]]),
    Virtual: lambda: Virtual(num_classes=3),
    WithoutAdapter: with_adapter,
}
WITH_LAYERS = (Ahead, Cautious, Frozen, MovingAverage, PastSelf, SomeClasses, WithoutAdapter)

EXPORTED = [
    item
    for item in (getattr(teachers, name) for name in teachers.__all__)
    if inspect.isclass(item) and issubclass(item, Teacher) and not inspect.isabstract(item)
]


def batch() -> Batch:
    inputs = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
    return Batch(inputs=inputs, ids=torch.arange(16), labels=torch.arange(16) % 3)


@pytest.fixture(params=EXPORTED, ids=lambda kind: kind.__name__)
def teacher(request: pytest.FixtureRequest) -> Teacher:
    assert request.param in FACTORIES, f"write a factory for {request.param.__name__} here"
    torch.manual_seed(0)
    return FACTORIES[request.param]()


def wake(teacher: Teacher) -> None:
    """What a careless caller does."""
    teacher.train()
    for part in teacher.modules():
        if isinstance(part, Net):
            part.train()
            part.layer.train()
        part.training = True


def test_every_layer_stays_in_eval_mode(teacher: Teacher) -> None:
    assert not any(layer.training for layer in teacher.modules())
    teacher.train()
    assert not any(layer.training for layer in teacher.modules())
    wake(teacher)
    teacher(batch())
    assert not any(layer.training for layer in teacher.modules())


def test_the_same_batch_gets_the_same_answer(teacher: Teacher) -> None:
    first = teacher(batch())
    wake(teacher)
    second = teacher(batch())
    assert torch.equal(first.logits, second.logits)
    for path, feature in first.features.items():
        assert torch.equal(feature, second.features[path])


def test_nothing_the_teacher_holds_changes(teacher: Teacher) -> None:
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    wake(teacher)
    teacher(batch())
    for name, value in teacher.state_dict().items():
        assert torch.equal(value, before[name])


def test_no_parameter_gets_a_gradient(teacher: Teacher) -> None:
    teacher.requires_grad_(True)  # the worst a caller can do
    student = nn.Linear(4, 3)
    here = batch()
    outputs = teacher(here)
    (student(here.inputs).softmax(-1) * outputs.logits).sum().backward()
    assert student.weight.grad is not None
    assert all(p.grad is None for p in teacher.parameters())
    assert not outputs.logits.requires_grad


@pytest.mark.parametrize("context", [torch.enable_grad, torch.no_grad])
def test_answers_serve_a_students_backward(teacher: Teacher, context: Callable[[], object]) -> None:
    student = nn.Linear(4, 3)
    with context():
        outputs = teacher(batch())
    assert not outputs.logits.is_inference()
    loss = (student(batch().inputs) * outputs.logits).sum()
    for feature in outputs.features.values():
        loss = loss + (student(batch().inputs).sum() * feature).sum()
    loss.backward()
    assert student.weight.grad is not None


def test_inference_mode_works(teacher: Teacher) -> None:
    plain = teacher(batch()).logits
    with torch.inference_mode():
        torch.testing.assert_close(teacher(batch()).logits, plain)


def test_logits_have_a_row_for_each_example(teacher: Teacher) -> None:
    logits = teacher(batch()).logits
    assert logits.shape == (16, 3)
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()


def test_watching_nothing_is_allowed_everywhere(teacher: Teacher) -> None:
    teacher.watch([])
    if not isinstance(teacher, WITH_LAYERS):
        with pytest.raises(ModelError, match="no layers"):
            teacher.watch(["layer"])


def test_members_of_other_classes_are_refused() -> None:
    with pytest.raises(ModelError, match="classes"):
        Ensemble([Frozen(Net(3)), Frozen(Net(4)), Predictor(predict)])(batch())
