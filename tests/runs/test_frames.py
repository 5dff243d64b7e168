"""Ways to bring frames, and teachers of the tabular world: served, or refused in words before training."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from bringing import FAST, each_way, served_or_refused
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler
from torch import Tensor, nn

import tutelage as tl
from tutelage.data.frames import Encoding
from tutelage.errors import CheckpointError

N = 120
RANDOM = np.random.default_rng(0)
AGE = RANDOM.normal(40, 10, N)
TOWN = RANDOM.choice(["Bonn", "Köln", "Rom"], N)
X = pd.DataFrame({"age": AGE, "town": TOWN, "member": RANDOM.random(N) > 0.5})
KIND = (AGE > 40).astype(int) + (TOWN == "Rom")
WORDS = np.array(["ant", "bee", "cat"])[KIND]
PRICE = AGE / 10 + (TOWN == "Rom")
WITH = X.assign(animal=WORDS)


class Net(nn.Module):
    """A small network that counts its steps of training."""

    steps = 0

    def __init__(self, width: int, out: int = 3) -> None:
        super().__init__()
        self.inner = nn.Linear(width, 5)
        self.head = nn.Linear(5, out)

    def forward(self, x: Tensor) -> Tensor:
        Net.steps += self.training
        answer: Tensor = self.head(self.inner(x).relu())
        return answer


def one(width: int) -> Net:
    return Net(width, 1)


def two(width: int) -> Net:
    return Net(width, 2)


@functools.cache
def forest(labels: str = "words") -> Any:
    """A pipeline that reads the raw frame."""
    kind = RandomForestRegressor if labels in ("price", "prices") else RandomForestClassifier
    told = {
        "words": WORDS,
        "numbers": KIND,
        "from 1": KIND + 1,
        "price": PRICE,
        "prices": np.stack([PRICE, -PRICE], axis=1),
    }
    encoder = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["town"]), remainder="passthrough"
    )
    return make_pipeline(encoder, kind(3, random_state=0)).fit(X, told[labels])


def gaps(frame: pd.DataFrame, **values: Any) -> pd.DataFrame:
    """The frame with every seventh value of some columns replaced, by gaps where nothing is said."""
    there = np.arange(len(frame)) % 7 != 0
    return frame.assign(**{name: frame[name].astype(object).where(there, None) for name in values})


@dataclass(frozen=True)
class Way:
    """One way, and what becomes of it.

    Args:
        said: words of the refusal, or the metric of the verdict where it is served.
        served: whether it is.
        data: makes what is brought for training, and for validation where that is None.
        validation, teacher: likewise.
        student: of an encoded width.
        options: further arguments.
    """

    said: str
    served: bool = True
    data: Callable[[], Any] = lambda: (X, WORDS)
    validation: Callable[[], Any] | None = None
    teacher: Callable[[], Any] = forest
    student: Any = Net
    options: dict[str, Any] | None = None


def polars(frame: pd.DataFrame) -> Any:
    return pytest.importorskip("polars").from_pandas(frame)


def categories() -> pd.DataFrame:
    return X.assign(town=X["town"].astype("category"))


def xgb(kind: str) -> Any:
    package = pytest.importorskip("xgboost")
    settings = {"n_estimators": 3, "enable_categorical": True, "n_jobs": 1}
    if kind == "regressor":
        return package.XGBRegressor(**settings).fit(categories(), PRICE)
    made = package.XGBClassifier(**settings).fit(categories(), KIND)
    return made.get_booster() if kind == "booster" else made


def xgb_alone(objective: str, labels: Any) -> Any:
    package = pytest.importorskip("xgboost")
    more = {"num_class": 3} if objective.startswith("multi") else {}
    rows = package.DMatrix(categories(), label=labels, enable_categorical=True)
    return package.train({"objective": objective, "nthread": 1, **more}, rows, 3)


def lgb(kind: str) -> Any:
    package = pytest.importorskip("lightgbm")
    settings = {"n_estimators": 3, "n_jobs": 1, "verbose": -1, "min_child_samples": 5}
    if kind == "regressor":
        return package.LGBMRegressor(**settings).fit(categories(), PRICE)
    made = package.LGBMClassifier(**settings).fit(categories(), WORDS if kind == "words" else KIND)
    return made.booster_ if kind == "booster" else made


def by_hand(frame: Any) -> np.ndarray[Any, Any]:
    """Logits of a rule on raw rows."""
    rome = (np.asarray(frame["town"]) == "Rom").astype(np.float32)
    old = (np.asarray(frame["age"]) > 40).astype(np.float32)
    return np.stack([1 - old - rome, old, rome], axis=1)


WIDTH = 5  # of the usual encoding of X: age, member, three towns

WAYS: dict[str, Way] = {
    # frames
    "a frame and words": Way("accuracy"),
    "a frame with its target": Way("accuracy", data=lambda: WITH, options={"target": "animal"}),
    "a frame with its target, nothing to validate on": Way(
        "accuracy", data=lambda: WITH, validation=lambda: None, options={"target": "animal"}
    ),
    "a frame of polars": Way("accuracy", data=lambda: polars(WITH), options={"target": "animal"}),
    "a lazy frame": Way("collect()", False, lambda: polars(WITH).lazy(), options={"target": "animal"}),
    "frames of two libraries": Way("all as one", False, lambda: (X, WORDS), lambda: (polars(X), WORDS)),
    "a frame without labels": Way("agreement", data=lambda: X),
    "labels as a list": Way("accuracy", data=lambda: (X, list(WORDS))),
    "labels as categories": Way("accuracy", data=lambda: (X, pd.Series(WORDS, dtype="category"))),
    "labels as a tensor": Way(
        "accuracy", data=lambda: (X, torch.tensor(KIND)), teacher=lambda: forest("numbers")
    ),
    "labels as truth values": Way(
        "accuracy",
        data=lambda: (X, KIND > 0),
        teacher=lambda: make_pipeline(OrdinalEncoder(), RandomForestClassifier(3)).fit(X, KIND > 0),
        student=two,
    ),
    "labels with gaps": Way("accuracy", data=lambda: gaps(WITH, animal=1), options={"target": "animal"}),
    "numbers of classes with gaps": Way(
        "accuracy", data=lambda: gaps(X.assign(c=KIND), c=1), options={"target": "c"},
        teacher=lambda: forest("numbers"),
    ),
    "labels of gaps alone": Way("gaps alone", False, lambda: (X, [None] * N)),
    "classes from 1": Way("accuracy", data=lambda: (X, KIND + 1), teacher=lambda: forest("from 1")),
    "classes from 1, a teacher from 0": Way(
        "out of range", False, lambda: (X, KIND + 1), teacher=lambda: forest("numbers")
    ),
    "labels in another order": Way("another index", False, lambda: (X, pd.Series(WORDS, X.index[::-1]))),
    "labels of another length": Way("one for each row", False, lambda: (X, WORDS[:-1])),
    "labels that are dates": Way("dates", False, lambda: (X, pd.date_range("2020", periods=N))),
    "the target among the features": Way("the labels, row by row", False, lambda: (WITH, WORDS)),
    "the target's name among the features": Way(
        "would read its labels", False, lambda: (WITH, WITH["animal"])
    ),
    "labels in the frame and not said": Way("say target='label'", False, lambda: X.assign(label=KIND)),
    "a target and labels": Way("give one of them", False, options={"target": "animal"}),
    "a target misspelt": Way("nearest: 'animal'", False, lambda: WITH, options={"target": "anmal"}),
    "labels in the place of validation data": Way("as a tuple", False, lambda: X, lambda: pd.Series(WORDS)),
    "a target that is not there": Way(
        "no column 'fish'", False, lambda: WITH, options={"target": "fish"}
    ),
    "a target without a frame": Way(
        "is for frames", False, lambda: (AGE[:, None], KIND), options={"target": "animal"}
    ),
    "a test without its target": Way(
        "test has no column 'animal'", False, lambda: WITH, options={"target": "animal", "test": X}
    ),
    "a word that training lacks": Way(
        "'dog'", False, validation=lambda: (X, np.where(KIND == 0, "dog", WORDS))
    ),
    # columns
    "gaps in numbers and words": Way(
        "accuracy",
        data=lambda: (X.assign(town=gaps(X, town=1)["town"], age=X["age"].where(X["age"] < 50)), WORDS),
    ),
    "categories, dates and spans": Way(
        "accuracy",
        data=lambda: (
            categories().assign(
                day=pd.date_range("2020", periods=N),
                born=datetime.date(1990, 1, 2),
                span=pd.Timedelta(hours=3),
            ),
            WORDS,
        ),
    ),
    "nullable numbers": Way("accuracy", data=lambda: (X.assign(age=X["age"].round().astype("Int64")), WORDS)),
    "columns in another order": Way("accuracy", validation=lambda: (X[["town", "member", "age"]], WORDS)),
    "more columns": Way("accuracy", validation=lambda: (X.assign(more=1), WORDS)),
    "a column that is missing": Way("lacks the column 'town'", False, validation=lambda: (X[["age"]], WORDS)),
    "a column of another type": Way("'age' of validation holds words", False, validation=lambda: (
        X.assign(age="old"), WORDS
    )),
    "words that training lacks": Way("accuracy", validation=lambda: (X.assign(town="Ulm"), WORDS)),
    "categories that training lacks": Way(
        "accuracy",
        data=lambda: (categories(), KIND),
        validation=lambda: (categories().assign(town=pd.Series(["Ulm"] * N, dtype="category")), KIND),
        teacher=lambda: xgb("classifier"),
    ),
    "a column of gaps alone": Way("accuracy", data=lambda: (X.assign(nothing=np.nan), WORDS)),
    "nothing but gaps": Way("gaps alone", False, lambda: (pd.DataFrame({"a": [np.nan] * N}), WORDS)),
    "a column of lists": Way("'many'", False, lambda: (X.assign(many=[[1, 2]] * N), WORDS)),
    "words among numbers": Way("'mixed'", False, lambda: (X.assign(mixed=[1, "a"] * (N // 2)), WORDS)),
    "infinite numbers": Way("infinite", False, lambda: (X.assign(age=np.inf), WORDS)),
    "no rows": Way("empty", False, lambda: (X[:0], WORDS[:0])),
    "no columns": Way("without columns", False, lambda: (X[[]], WORDS)),
    "a name twice": Way("names must differ", False, lambda: (pd.concat([X, X[["age"]]], axis=1), WORDS)),
    "names that are numbers": Way("no word", False, lambda: (pd.DataFrame(np.ones((N, 2))), WORDS)),
    # preprocessing
    "a transformer of one's own": Way(
        "accuracy",
        options={
            "preprocessing": make_column_transformer((StandardScaler(), ["age"]), (OneHotEncoder(), ["town"]))
        },
    ),
    "a transformer that is fitted": Way(
        "accuracy",
        options={"preprocessing": make_column_transformer((StandardScaler(), ["age"])).fit(X[:50])},
    ),
    "a transformer that leaves gaps": Way(
        "gaps or infinite",
        False,
        lambda: (X.assign(age=X["age"].where(X["age"] < 50)), WORDS),
        options={"preprocessing": make_column_transformer((StandardScaler(), ["age"]))},
    ),
    "a transformer that fails": Way(
        "cannot be fitted", False, options={"preprocessing": make_pipeline(StandardScaler())}
    ),
    "a word as transformer": Way("expected a transformer", False, options={"preprocessing": "standard"}),
    # teachers
    "a network": Way("accuracy", teacher=lambda: Net(WIDTH)),
    "a network beside a forest": Way("accuracy", teacher=lambda: [Net(WIDTH), forest()]),
    "a network of another width": Way("cannot be called", False, teacher=lambda: Net(9)),
    "a function of raw rows": Way("accuracy", teacher=lambda: by_hand),
    "a predictor of raw rows": Way(
        "accuracy", teacher=lambda: tl.teachers.Predictor(forest(), classes=["ant", "bee", "cat"])
    ),
    "a forest of numbers": Way("mse", data=lambda: (X, PRICE), teacher=lambda: forest("price"), student=one),
    "numbers with gaps": Way(
        "mse",
        data=lambda: (X, np.where(AGE > 55, np.nan, PRICE)),
        teacher=lambda: forest("price"),
        student=one,
    ),
    "whole numbers with gaps": Way(
        "mse",
        data=lambda: (X, np.where(AGE > 55, np.nan, PRICE.round())),
        teacher=lambda: forest("price"),
        student=one,
    ),
    "several numbers": Way(
        "mse",
        data=lambda: X.assign(up=PRICE, down=-PRICE),
        teacher=lambda: forest("prices"),
        student=two,
        options={"target": ["up", "down"]},
    ),
    "two regressors": Way(
        "mse", data=lambda: (X, PRICE), teacher=lambda: [forest("price")] * 2, student=one
    ),
    "a regressor beside classes": Way(
        "the teacher is a regressor", False, teacher=lambda: forest("price"), student=one
    ),
    "a classifier without probabilities": Way(
        "without predict_proba",
        False,
        teacher=lambda: make_pipeline(OrdinalEncoder(), RidgeClassifier()).fit(X, WORDS),
    ),
    "a teacher that fails on new words": Way(
        'handle_unknown="ignore"',
        False,
        teacher=lambda: make_pipeline(
            make_column_transformer((OneHotEncoder(), ["town"])), RandomForestClassifier(2)
        ).fit(X, WORDS),
        options={"test": (X.assign(town=["Ulm"] + ["Rom"] * (N - 1)), WORDS)},
    ),
    "a teacher that is not fitted": Way(
        "Fit it before",
        False,
        teacher=lambda: make_pipeline(OrdinalEncoder(), RandomForestClassifier(2)),
    ),
    "a forest of numbers in another order": Way(
        "classes=[2, 1, 0]",
        False,
        teacher=lambda: make_pipeline(OrdinalEncoder(), RandomForestClassifier(3)).fit(X, 2 - KIND),
    ),
    "a teacher of other columns": Way(
        "fitted on the column 'size'",
        False,
        teacher=lambda: RandomForestClassifier(2).fit(pd.DataFrame({"size": AGE}), WORDS),
    ),
    "a teacher of some columns": Way(
        "accuracy", teacher=lambda: RandomForestClassifier(2).fit(X[["member", "age"]], WORDS)
    ),
    "a teacher of arrays": Way(
        "accuracy",
        data=lambda: (X[["age", "member"]], WORDS),
        teacher=lambda: RandomForestClassifier(2).fit(X[["age", "member"]].to_numpy(), WORDS),
    ),
    "XGBoost": Way("accuracy", data=lambda: (categories(), KIND), teacher=lambda: xgb("classifier")),
    "XGBoost beside words": Way(
        "accuracy", data=lambda: (categories(), WORDS), teacher=lambda: xgb("classifier")
    ),
    "XGBoost of numbers": Way(
        "mse", data=lambda: (categories(), PRICE), teacher=lambda: xgb("regressor"), student=one
    ),
    "XGBoost's booster": Way("accuracy", data=lambda: (categories(), KIND), teacher=lambda: xgb("booster")),
    "XGBoost's booster of words of classes": Way(
        "accuracy", data=lambda: (categories(), KIND), teacher=lambda: xgb_alone("multi:softmax", KIND)
    ),
    "XGBoost's booster of yes and no": Way(
        "accuracy",
        data=lambda: (categories(), (KIND > 0).astype(int)),
        teacher=lambda: xgb_alone("binary:logistic", KIND > 0),
        student=two,
    ),
    "XGBoost's booster of numbers": Way(
        "mse",
        data=lambda: (categories(), PRICE),
        teacher=lambda: xgb_alone("reg:squarederror", PRICE),
        student=one,
    ),
    "LightGBM": Way("accuracy", data=lambda: (categories(), WORDS), teacher=lambda: lgb("words")),
    "LightGBM of numbers": Way(
        "mse", data=lambda: (categories(), PRICE), teacher=lambda: lgb("regressor"), student=one
    ),
    "LightGBM's booster": Way("accuracy", data=lambda: (categories(), KIND), teacher=lambda: lgb("booster")),
    # students
    "a network as student": Way("accuracy", student=Net(WIDTH)),
    "a function without a width": Way("accuracy", student=lambda: nn.LazyLinear(3)),
    "a student of another width": Way("function of the width", False, student=lambda: Net(9)),
    # arrays
    "arrays and a regressor": Way(
        "mse",
        data=lambda: (AGE[:, None].astype(np.float32), PRICE),
        teacher=lambda: LinearRegression().fit(AGE[:, None], PRICE),
        student=lambda: Net(1, 1),
    ),
    "arrays and LightGBM's booster": Way(
        "accuracy",
        data=lambda: (AGE[:, None].astype(np.float32), KIND),
        teacher=lambda: pytest.importorskip("lightgbm")
        .LGBMClassifier(n_estimators=2, verbose=-1, n_jobs=1)
        .fit(AGE[:, None], KIND)
        .booster_,
        student=lambda: Net(1, 3),
    ),
}  # fmt: skip


def bring(way: Way, folder: Any) -> Any:
    data = way.data()
    return tl.distill(
        way.teacher(),
        way.student,
        data,
        data if way.validation is None else way.validation(),
        out=folder / "run",
        **(FAST | (way.options or {})),
    )


@pytest.mark.parametrize("name", each_way(WAYS))
@pytest.mark.filterwarnings("ignore::tutelage.TutelageWarning")
def test_each_way_is_served_or_refused_before_the_first_step(name: str, tmp_path: Any) -> None:
    Net.steps = 0
    served_or_refused(WAYS[name], bring, tmp_path)
    assert WAYS[name].served or Net.steps == 0


RAW = X.assign(town=gaps(X, town=1)["town"], age=X["age"].where(X["age"] < 50), day=pd.Timestamp(2020, 1, 2))


@pytest.mark.filterwarnings("ignore::tutelage.TutelageWarning")
def test_the_encoding_is_fitted_on_the_training_rows_and_lies_beside_the_student(tmp_path: Any) -> None:
    run = tl.distill(
        by_hand, Net, (X, KIND), (X[:60], KIND[:60]), epochs=1, seeds=1, out=tmp_path / "run", quiet=True,
        placebo=False, control=False,
    )  # fmt: skip
    encoding = Encoding.load(run.out)
    assert list(encoding.transformer.feature_names_in_) == ["age", "town", "member"]
    assert not list(run.out.rglob("*.pkl"))
    rows = encoding(X[["town", "member", "age"]])
    assert float(rows[:, 0].mean()) == pytest.approx(0, abs=1e-5)  # of the training rows
    with torch.no_grad():
        assert (encoding.predict(run.student, X) == run.student(rows).numpy()).all()


def test_an_encoding_comes_back_as_it_was(tmp_path: Any) -> None:
    encoding = Encoding.fit(RAW, classes=["ant", "bee", "cat"])
    encoding.save(tmp_path)
    again = Encoding.load(tmp_path)
    assert torch.equal(encoding(RAW), again(RAW))
    assert set(again.predict(Net(encoding(RAW).shape[1]), RAW)) <= {"ant", "bee", "cat"}


def test_a_preprocessing_that_could_run_code_is_not_kept(tmp_path: Any) -> None:
    encoding = Encoding.fit(X, make_pipeline(FunctionTransformer(by_hand)))
    with pytest.warns(tl.TutelageWarning, match="keep it yourself"):
        encoding.save(tmp_path)
    with pytest.raises(CheckpointError, match="no preprocessing"):
        Encoding.load(tmp_path)


def test_words_that_are_rare_or_new_are_none_of_those_that_are_told_apart() -> None:
    words = [f"w{n % 49}" for n in range(196)] + [f"rare{n}" for n in range(9)]
    encoding = Encoding.fit(pd.DataFrame({"word": words}))
    rows = encoding(pd.DataFrame({"word": ["w3", "rare8", "new"]}))
    assert rows.shape[1] == 50
    assert rows.sum(1).tolist() == [1, 0, 0]


@pytest.mark.slow
@pytest.mark.parametrize("own", [False, True])
def test_an_exported_student_takes_the_raw_columns(own: bool, tmp_path: Any) -> None:
    pytest.importorskip("skl2onnx")
    runtime = pytest.importorskip("onnxruntime")
    mine = make_column_transformer(
        (StandardScaler(), ["age"]), (OneHotEncoder(handle_unknown="ignore"), ["town"])
    )
    frame = X if own else RAW
    encoding = Encoding.fit(frame, mine if own else None)
    student = Net(encoding(frame).shape[1])
    said = tl.export.export(student, frame, tmp_path / "s.onnx", format="onnx", encoding=encoding)
    assert said["max_difference"] < 1e-4
    session = runtime.InferenceSession(said["path"])
    given = {one.name for one in session.get_inputs()}
    assert given == set(frame.columns)
    new = {"age": np.float32([[np.nan]]), "town": np.array([["Ulm"]], dtype=object)}
    new |= {"member": np.float32([[1]]), "day": np.float32([[18263]])}
    answer = session.run(["logits"], {name: new[name] for name in given})[0]
    assert answer.shape == (1, 3)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::tutelage.TutelageWarning")
def test_a_run_is_exported_for_raw_columns_and_loaded_by_its_width(tmp_path: Any) -> None:
    pytest.importorskip("skl2onnx")
    runtime = pytest.importorskip("onnxruntime")
    run = tl.distill(
        by_hand, Net, (X, KIND), (X[:60], KIND[:60]), epochs=1, seeds=1, out=tmp_path / "run", quiet=True,
        placebo=False, control=False,
    )  # fmt: skip
    raw = runtime.InferenceSession(run.export("onnx")["path"])
    assert {one.name for one in raw.get_inputs()} == set(X.columns)
    encoded = run.export("onnx", tmp_path / "encoded.onnx", encoding=None)
    assert [one.shape[1] for one in runtime.InferenceSession(encoded["path"]).get_inputs()] == [WIDTH]
    rows = Encoding.load(run.out)(X)
    with torch.no_grad():
        assert torch.equal(tl.load(run.out, Net)(rows), run.student(rows))
