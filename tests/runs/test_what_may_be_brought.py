"""Ways to bring targets, data, teachers and networks: served, or refused in words before the first step."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from bringing import FAST, each_way, served_or_refused
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset, WeightedRandomSampler

import tutelage as tl
from tutelage.losses import feature, response
from tutelage.types import UNLABELLED

N, IN, OUT = 120, 6, 3
X = torch.randn(N, IN, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long() + (X[:, 1] > 0).long()
WORDS = np.array(["ant", "bee", "cat"])[Y.numpy()]
SHARES = nn.functional.one_hot(Y, OUT).float() * 0.7 + 0.1
SEVERAL = (X[:, :OUT] > 0).float()
NUMBERS = X[:, :2] * 2 - 1
GAP = X.clone()
GAP[7, 2] = torch.nan


class Net(nn.Module):
    """A small network that counts its steps of training."""

    steps = 0

    def __init__(self, out: int = OUT, shape: Callable[[Tensor], Any] = lambda answer: answer) -> None:
        super().__init__()
        self.inner = nn.Linear(IN, 5)
        self.head = nn.Linear(5, out)
        self.shape = shape

    def forward(self, x: Tensor) -> Any:
        Net.steps += self.training
        return self.shape(self.head(self.inner(x.float()).relu()))


class Pairs(Dataset[Any]):
    """Items in any form."""

    def __init__(self, item: Callable[[int], Any]) -> None:
        self.item = item

    def __len__(self) -> int:
        return N

    def __getitem__(self, number: int) -> Any:
        return self.item(number)


class Stream(torch.utils.data.IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter(zip(X, Y, strict=True))


@dataclass(frozen=True)
class Way:
    """One way, and what becomes of it.

    Args:
        said: words of the refusal, or the metric of the verdict where it is served.
        served: whether it is.
        data: what is brought for training, and for validation where that is None.
        teacher, student: likewise.
        options: further arguments.
    """

    said: str
    served: bool = True
    data: Any = (X, Y)
    validation: Any = None
    teacher: Any = None
    student: Any = Net
    options: dict[str, Any] | None = None


def forest(labels: Any) -> RandomForestClassifier:
    return RandomForestClassifier(3, random_state=0).fit(X.numpy(), labels)


def mixed(items: list[Any]) -> tuple[Tensor, Tensor]:
    rows, labels = torch.stack([x for x, _ in items]), torch.stack([y for _, y in items])
    shares = nn.functional.one_hot(labels, OUT).float()
    return (rows + rows.flip(0)) / 2, (shares + shares.flip(0)) / 2


def table() -> Any:
    return pytest.importorskip("datasets").Dataset.from_dict({"x": X.tolist(), "label": Y.tolist()})


def encoded(items: list[Any]) -> Any:
    kind = pytest.importorskip("transformers").BatchEncoding
    rows, labels = torch.stack([x for x, _ in items]), torch.stack([y for _, y in items])
    return kind({"x": rows, "labels": labels})


def series(labels: Tensor) -> Any:
    return pytest.importorskip("pandas").Series(labels.numpy())


def frame() -> Any:
    return pytest.importorskip("pandas").DataFrame({"a": [1.0] * N})


def conv() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, OUT))


def one() -> Net:
    return Net(1)


def two() -> Net:
    return Net(2)


def largest_gap(outputs: Tensor, labels: Tensor) -> Tensor:
    return (outputs - labels).abs().amax()


WAYS: dict[str, Way] = {
    # targets
    "class indices": Way("accuracy"),
    "class indices of int32": Way("accuracy", data=(X, Y.int())),
    "class indices of uint8": Way("accuracy", data=(X, Y.to(torch.uint8))),
    "class indices as floats": Way("accuracy", data=(X, Y.double())),
    "class indices in a column": Way("accuracy", data=(X, Y[:, None])),
    "class indices, some unknown": Way(
        "accuracy", data=(X, torch.where(torch.arange(N) % 9 == 0, UNLABELLED, Y))
    ),
    "words": Way("accuracy", data=(X.numpy(), WORDS)),
    "words that training lacks": Way("'dog'", False, (X, WORDS), (X, np.where(Y == 0, "dog", WORDS))),
    "words from a loader": Way("names.index(word)", False, Pairs(lambda n: (X[n], str(WORDS[n])))),
    "words among numbers": Way(
        "labels of train", False, (X.numpy(), np.array(["ant", 1] * 60, dtype=object))
    ),
    "class indices as a column of pandas": Way("accuracy", data=lambda: (X.numpy(), series(Y))),
    "labels in the place of validation data": Way("as a tuple", False, X.numpy(), Y.numpy()),
    "several labels as lists in items": Way(
        "mean_average_precision", data=Pairs(lambda n: (X[n], [int(one) for one in SEVERAL[n]]))
    ),
    "numbers with gaps": Way(
        "mse", data=(X, torch.where(X[:, 0] > 1, torch.nan, X[:, 1] * 3)), student=one, teacher=one()
    ),
    "classes from 1": Way("out of range", False, (X, Y + 1)),
    "-1 for none": Way("-1", False, (X, torch.where(Y == 0, -1, Y))),
    "255 for none": Way("255", False, (X, torch.where(Y == 0, 255, Y))),
    "shares of classes": Way("accuracy", data=(X, SHARES)),
    "shares in training, classes after": Way(
        "accuracy", data=DataLoader(TensorDataset(X, Y), batch_size=30, collate_fn=mixed), validation=(X, Y)
    ),
    "several labels": Way("mean_average_precision", data=(X, SEVERAL)),
    "several labels as whole numbers": Way("mean_average_precision", data=(X, SEVERAL.long())),
    "several labels as truth values, nothing to validate on": Way(
        "mean_average_precision", data=TensorDataset(X, SEVERAL > 0)
    ),
    "several labels, some unknown": Way(
        "mean_average_precision", data=(X, SEVERAL.masked_fill(torch.rand(N, OUT) < 0.1, torch.nan))
    ),
    "yes or no": Way("accuracy", data=(X, (Y > 0).long()), student=one, teacher=one()),
    "yes or no as truth values": Way("accuracy", data=(X, Y > 0), student=one, teacher=one()),
    "yes or no, one number an answer": Way(
        "accuracy", data=(X, (Y > 0).float()), student=lambda: Net(1, lambda a: a.squeeze()), teacher=one()
    ),
    "one number": Way("mse", data=(X, X[:, 0] * 3), student=one, teacher=one()),
    "one number in a column": Way("mse", data=(X, X[:, :1] * 3), student=one, teacher=one()),
    "several numbers": Way("mse", data=(X, NUMBERS), student=two, teacher=two()),
    "numbers beside classes": Way("one number for each example", False, (X, X[:, 0] * 3)),
    "too many numbers": Way("answers with 3 numbers", False, (X, X[:, :4] * 2)),
    "none": Way("agreement", data=(X,)),
    "kinds that differ": Way("different kinds", False, (X, Y), (X, NUMBERS[:, [0, 1, 1]])),
    # metrics
    "a function as metric": Way(
        "largest_gap",
        data=(X, NUMBERS),
        student=two,
        teacher=two(),
        options={"metric": tl.Metric(largest_gap, higher_is_better=False)},
    ),
    "a metric that gives no number": Way(
        "one number is expected", False, options={"metric": lambda outputs, labels: outputs}
    ),
    "a metric by name": Way(
        "rmse", data=(X, NUMBERS), student=two, teacher=two(), options={"metric": "rmse"}
    ),
    "an unknown word as metric": Way("balanced_accuracy", False, options={"metric": "balanced"}),
    # data
    "arrays": Way("accuracy", data=(X.numpy(), Y.numpy())),
    "arrays of float64": Way("accuracy", data=(X.double().numpy(), Y.numpy())),
    "a list in place of a tuple": Way("tuple", False, [X, Y]),
    "a data set of pairs": Way("accuracy", data=TensorDataset(X, Y)),
    "a loader of pairs": Way("accuracy", data=DataLoader(TensorDataset(X, Y), batch_size=30, shuffle=True)),
    "a loader of mappings": Way(
        "accuracy", data=DataLoader(Pairs(lambda n: {"x": X[n], "label": Y[n]}), batch_size=30)
    ),
    "a loader of mappings without labels": Way(
        "agreement", data=DataLoader(Pairs(lambda n: {"x": X[n]}), batch_size=30)
    ),
    "a stream": Way("stream", False, DataLoader(Stream())),
    "a word": Way("expected a DataLoader", False, "data.csv"),
    "nothing": Way("empty", False, (X[:0], Y[:0])),
    "labels of another length": Way("lengths", False, (X, Y[:-1])),
    "gaps": Way("inputs that are NaN", False, (torch.where(X > 2, torch.nan, X), Y)),
    "one gap in a loader": Way("number 7; its values 2", False, DataLoader(TensorDataset(GAP, Y), 40)),
    "words as inputs": Way("give the frame itself", False, (np.array([["a", 1.0]] * N, dtype=object), Y)),
    "numbers as objects": Way("accuracy", data=(X.numpy().astype(object), Y.numpy())),
    "a loader of a frame": Way("DataLoader of a frame", False, lambda: DataLoader(frame())),
    "labels before inputs": Way("were they swapped?", False, (Y, X), teacher=nn.Linear(IN, OUT)),
    "mappings with an id": Way(
        "drop 'id'",
        False,
        DataLoader(Pairs(lambda n: {"x": X[n], "id": n, "label": Y[n]})),
    ),
    "images without channels": Way(
        "unsqueeze(1)",
        False,
        (torch.zeros(N, 8, 8, dtype=torch.uint8), Y),
        teacher=conv(),
        student=lambda: conv(),
    ),
    "a table whose columns are lists": Way("accuracy", data=lambda: table(), student=Net),
    "float64 for a network of float32": Way(
        "accuracy", data=(X.double().numpy(), Y.numpy()), student=lambda: nn.Linear(IN, OUT)
    ),
    "whole numbers for a network of float32": Way(
        "accuracy", data=((X * 10).long(), Y), student=lambda: nn.Linear(IN, OUT)
    ),
    "whole numbers that a network reads": Way(
        "accuracy",
        data=((X > 0).long(), Y),
        student=lambda: nn.Sequential(nn.Embedding(2, 4), nn.Flatten(), nn.Linear(4 * IN, OUT)),
    ),
    "a loader of Transformers' batches": Way(
        "accuracy", data=DataLoader(Pairs(lambda n: (X[n], Y[n])), batch_size=30, collate_fn=encoded)
    ),
    "one image without colours": Way(
        "number of channels", False, Pairs(lambda n: (torch.zeros(1 if n == 70 else 3, 4, 4), Y[n]))
    ),
    "items with an index": Way("the last was read as its labels", False, Pairs(lambda n: (X[n], Y[n], n))),
    # teachers
    "a network": Way("accuracy", teacher=Net()),
    "several networks": Way("accuracy", teacher=[Net(), Net()]),
    "a forest": Way("accuracy", teacher=forest(Y.numpy())),
    "a pipeline": Way(
        "accuracy", teacher=make_pipeline(StandardScaler(), forest(Y.numpy())).fit(X.numpy(), Y.numpy())
    ),
    "a forest of words beside words": Way("accuracy", data=(X.numpy(), WORDS), teacher=forest(WORDS)),
    "a forest of words beside numbers": Way("Predictor", False, teacher=forest(WORDS)),
    "a function": Way("accuracy", teacher=lambda x: x[:, :OUT]),
    "a teacher of other classes": Way("give it a head of 5", False, teacher=Net(5)),
    "a teacher of other classes, features": Way(
        "accuracy",
        teacher=Net(5),
        options={"matches": [tl.Match(feature.Hint(), guided="inner"), tl.Match(response.HardLabel())]},
    ),
    "a teacher that ends in a softmax": Way("accuracy", teacher=nn.Sequential(Net(), nn.Softmax(-1))),
    "a teacher that cannot read the data": Way("cannot be called", False, teacher=nn.Linear(9, OUT)),
    "a class of networks as teacher": Way("the class Net", False, teacher=Net),
    "a function that builds the teacher": Way("without arguments", False, teacher=lambda: Net()),
    "an unfitted estimator": Way("Fit it before", False, teacher=RandomForestClassifier(2)),
    "a forest of numbers in another order": Way(
        "classes=[2, 1, 0]", False, (X.numpy(), WORDS), teacher=forest(2 - Y.numpy())
    ),
    "a teacher of fewer classes than there are": Way("num_labels=3", False, teacher=Net(2)),
    "a classifier beside numbers": Way(
        "such as a regressor", False, (X, (X[:, 0] * 30).round()), teacher=forest(Y.numpy()), student=one
    ),
    "three numbers beside one": Way(
        "answers with 3 numbers",
        False,
        (X.numpy(), X[:, 0].numpy()),
        teacher=LinearRegression().fit(X.numpy(), X[:, :3].numpy()),
        student=one,
    ),
    "a word as teacher": Way("expected a trained nn.Module", False, teacher="bert"),
    # networks
    "an answer in a tuple": Way("accuracy", student=lambda: Net(shape=lambda a: (a, a))),
    "an answer in a mapping": Way("accuracy", student=lambda: Net(shape=lambda a: {"logits": a})),
    "an answer without logits": Way("no logits", False, student=lambda: Net(shape=lambda a: {"scores": a})),
    "a student in DataParallel": Way("accuracy", student=lambda: nn.DataParallel(Net())),
    "a student itself": Way("accuracy", student=Net()),
    "a lazy student": Way(
        "accuracy", student=lambda: nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.LazyLinear(OUT))
    ),
    "a wider student": Way("must be the same", False, student=lambda: Net(4)),
    "a student of more labels": Way("give it a head of 3", False, (X, SEVERAL), student=lambda: Net(4)),
    "a class of layers as student": Way("without arguments", False, student=nn.Linear),
    "a word as student": Way("expected an nn.Module", False, student="resnet"),
    "one student twice": Way("same network twice", False, student=(lambda held: lambda: held)(Net())),
    "an unknown argument": Way("argument of distill", False, options={"temprature": 3}),
    "a learning rate": Way("accuracy", options={"lr": 0.1}),
    "a learning rate as a word": Way("give a number", False, options={"lr": "0.1"}),
    "an optimiser as an object": Way(
        "optimizer='adam'", False, options={"optimizer": torch.optim.Adam(Net().parameters())}
    ),
    "two learning rates": Way(
        "give one of them", False, options={"lr": 0.1, "optimizer": {"sgd": {"lr": 0.2}}}
    ),
    "a temperature and a weight": Way("accuracy", options={"temperature": 2, "label_weight": 0.5}),
    "a temperature beside matches": Way(
        "write them into", False, options={"temperature": 2, "matches": response.SoftTarget()}
    ),
    "a temperature below 0": Way("above 0 is expected", False, options={"temperature": -1}),
    "a temperature of numbers": Way(
        "have none", False, (X, NUMBERS), student=two, teacher=two(), options={"temperature": 2}
    ),
    "weights of classes": Way("accuracy", options={"class_weights": [1, 2, 3]}),
    "balanced classes": Way(
        "accuracy", data=DataLoader(TensorDataset(X, Y), 30), options={"class_weights": "balanced"}
    ),
    "weights of too few classes": Way("expected 3", False, options={"class_weights": [1, 2]}),
    "weights of classes beside numbers": Way(
        "not one class",
        False,
        (X, NUMBERS),
        student=two,
        teacher=two(),
        options={"class_weights": "balanced"},
    ),
    "weights of examples": Way("accuracy", options={"example_weights": Y + 1.0}),
    "weights of too few examples": Way("expected 120", False, options={"example_weights": [1.0]}),
    "a loader that draws by weights": Way(
        "accuracy", data=DataLoader(TensorDataset(X, Y), 30, sampler=WeightedRandomSampler([1.0] * N, N))
    ),
    "patience": Way("accuracy", options={"patience": 1}),
    "patience of nothing": Way("patience", False, options={"patience": 0}),
    "a function that listens": Way("accuracy", options={"callbacks": print}),
    "a word that listens": Way("expected a function", False, options={"callbacks": "print"}),
    "a schedule in epochs": Way(
        "accuracy",
        options={"optimizer": {"sgd": {"lr": 0.1, "schedule": {"step_lr": {"step_size": "1 epoch"}}}}},
    ),
    "a schedule in epochs or steps": Way(
        "may be epochs",
        False,
        options={"optimizer": {"sgd": {"lr": 0.1, "schedule": {"step_lr": {"step_size": 1}}}}},
    ),
    "an optimiser that torch lacks": Way("optimizer", False, options={"optimizer": "adamx"}),
    "a device that is not there": Way("this machine has", False, options={"device": "tpu"}),
    "the processor": Way("accuracy", options={"device": "cpu"}),
}


def bring(way: Way, folder: Any) -> Any:
    data = way.data() if callable(way.data) else way.data
    validation = way.validation
    if validation is None and isinstance(data, tuple):
        validation = tuple(part[:60] for part in data)
    return tl.distill(
        Net() if way.teacher is None else way.teacher,
        way.student,
        data,
        validation,
        out=folder / "run",
        **(FAST | (way.options or {})),
    )


@pytest.mark.parametrize("name", each_way(WAYS))
@pytest.mark.filterwarnings("ignore::tutelage.TutelageWarning")
def test_each_way_is_served_or_refused_before_the_first_step(name: str, tmp_path: Any) -> None:
    Net.steps = 0
    served_or_refused(WAYS[name], bring, tmp_path)
    assert WAYS[name].served or Net.steps <= 4  # two each of student and control, with a few examples


def test_a_teacher_that_ends_in_a_softmax_is_told_of(tmp_path: Any) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        run = bring(WAYS["a teacher that ends in a softmax"], tmp_path)
    assert any("without its softmax" in str(each.message) for each in said)
    assert any("without its softmax" in each for each in run.results["warnings"])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::tutelage.TutelageWarning")
def test_without_labels_there_is_no_control_and_the_teacher_is_the_measure(tmp_path: Any) -> None:
    teacher = Net()
    run = bring(Way("agreement", data=(X,), teacher=teacher), tmp_path)
    assert list(run.results["outcomes"]) == ["student"]
    assert run.results["teacher"]["quality"]["agreement"]["mean"] == 1
    with torch.no_grad():
        same = run.student(X[:60]).argmax(-1) == teacher.eval()(X[:60]).argmax(-1)
    assert run.results["student"]["quality"]["agreement"]["mean"] == pytest.approx(same.double().mean())
