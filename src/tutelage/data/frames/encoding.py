"""Rows of a frame as rows of numbers, the same for training, for use and in an exported file."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from tutelage.data.frames.columns import Columns
from tutelage.errors import (
    CheckpointError,
    DataError,
    MissingExtra,
    ModelError,
    TutelageWarning,
    first_line,
)
from tutelage.files import read_json, write_atomically, write_json

__all__ = ["Encoding"]

_WORDS = 50  # of a column, the most frequent ones, that are told apart
_TRUSTED = ["numpy.dtype"]  # beside what skops trusts by itself: types of scikit-learn, numpy and scipy
_TRANSFORMER, _ABOUT = "preprocessing.skops", "preprocessing.json"


class Encoding:
    """What turns raw rows into what a student reads; fitted on the training rows alone.

    By default, with scikit-learn: gaps in numbers become the median, and a number of their own tells where
    they were; numbers are scaled to mean 0 and deviation 1; truth values are 0 and 1, dates days since 1970;
    words and categories become one number for each of the 50 most frequent words of their column, all 0 for
    any other word. A gap in words is a word like others, the empty one.

    Args:
        columns: of the training frame.
        transformer: fitted, with `transform`.
        classes: the words that classes 0, 1, … stand for, or None.
        own: whether the transformer is a user's own: it is given the rows as they came.

    Attributes:
        width: how many numbers a row becomes; None before one was encoded.

    Shapes:
        returns: float32 [rows, `width`].

    Example:
        >>> import pandas
        >>> frame = pandas.DataFrame({"age": [30.0, None, 50.0], "town": ["Bonn", "Köln", "Bonn"]})
        >>> encoding = Encoding.fit(frame)
        >>> encoding(pandas.DataFrame({"town": ["Rom"], "age": [40.0]}))
        tensor([[0., 0., 0., 0.]])
    """

    def __init__(
        self, columns: Columns, transformer: Any, *, classes: Sequence[str] | None = None, own: bool = False
    ) -> None:
        self.columns, self.transformer, self.classes, self.own = columns, transformer, classes, own
        self.width: int | None = None

    @classmethod
    def fit(
        cls,
        frame: Any,
        preprocessing: Any = None,
        *,
        classes: Sequence[str] | None = None,
        where: str = "train",
    ) -> Encoding:
        """Fit one on training rows.

        Args:
            frame: the training rows, without labels.
            preprocessing: a transformer of your own in place of the usual one; fitted or not. One that is not
                is copied, and the copy fitted.
            classes: the words that classes 0, 1, … stand for, or None.
            where: what to call the frame in messages.

        Raises:
            DataError: columns that cannot be read.
            ModelError: a transformer that cannot be fitted.
        """
        columns = Columns.of(frame, where=where)
        if preprocessing is not None:
            return cls(columns, _fitted(preprocessing, frame), classes=classes, own=True)
        plain = columns.plain(frame, where=where)
        if columns["empty"]:
            _warn(f"the columns {', '.join(columns['empty'])} of {where} hold gaps alone, and are left out")
        if not len(plain.columns):
            raise DataError(f"all columns of {where} hold gaps alone; there is nothing to learn from")
        return cls(columns, _usual(columns, plain).fit(plain), classes=classes)

    def __call__(self, frame: Any, *, where: str = "the frame") -> Float[Tensor, "rows width"]:
        """Encode rows; their columns may come in another order, and others beside them.

        Raises:
            DataError: a column is missing or of another kind, or a number comes out that is none.
            ModelError: a transformer of the user's own fails.
        """
        given = (
            self.columns.select(frame, where=where) if self.own else self.columns.plain(frame, where=where)
        )
        try:
            found = self.transformer.transform(given)
            found = found.toarray() if hasattr(found, "toarray") else found
            rows = np.asarray(found, dtype=np.float32)
        except Exception as error:
            raise ModelError(
                f"the preprocessing ({type(self.transformer).__name__}) cannot read {where}: "
                f"{first_line(error)}"
            ) from error
        if rows.ndim != 2 or len(rows) != len(frame) or not np.isfinite(rows).all():
            raise DataError(
                f"the preprocessing made {list(rows.shape)} of {len(frame)} rows of {where}, with "
                f"{int((~np.isfinite(rows)).sum())} gaps or infinite numbers; expected a row of numbers for "
                "each"
            )
        self.width = rows.shape[1]
        return torch.from_numpy(np.ascontiguousarray(rows))

    def predict(self, network: nn.Module, frame: Any) -> Any:
        """What a student says of raw rows: the words or numbers of classes [rows], or numbers [rows, values].

        Args:
            network: trained on rows of this encoding; used in eval mode.
            frame: raw rows.
        """
        training = network.training
        with torch.no_grad():
            logits = network.eval()(self(frame).to(next(network.parameters()).device)).cpu()
        network.train(training)
        if self.classes is None:
            return logits.numpy()
        return np.asarray(self.classes)[logits.argmax(-1).numpy()]

    def save(self, folder: Path | str) -> None:
        """Write it into a folder, as a run does beside its student: without any pickle."""
        for name, write in self.files.items():
            write(Path(folder) / name)

    @property
    def files(self) -> dict[str, Any]:
        """Name -> what writes it to a path."""
        content = self._packed()
        found: dict[str, Any] = (
            {} if content is None else {_TRANSFORMER: lambda p: write_atomically(p, content)}
        )
        about: dict[str, Any] = {
            "columns": dict(self.columns.kinds),
            "classes": self.classes,
            "own": self.own,
        }
        about["width"] = self.width
        return found | {_ABOUT: lambda path: write_json(path, about)}

    def _packed(self) -> bytes | None:
        content: bytes = _skops().dumps(self.transformer)
        foreign = [one for one in _skops().get_untrusted_types(data=content) if one not in _TRUSTED]
        if not foreign:
            return content
        _warn(
            f"the preprocessing holds {', '.join(map(str, foreign[:3]))}, which could run code when it is "
            "read again, and is not kept beside the student: keep it yourself"
        )
        return None

    @classmethod
    def load(cls, folder: Path | str) -> Encoding:
        """The one beside a student.

        Args:
            folder: of a run.

        Raises:
            CheckpointError: there is none, or it holds other types than scikit-learn's and numpy's.
        """
        file, about = Path(folder) / _TRANSFORMER, Path(folder) / _ABOUT
        for path in (file, about):
            if not path.is_file():
                raise CheckpointError(f"no preprocessing at {path}; give the folder of a run on frames")
        held = read_json(about)
        try:
            transformer = _skops().load(file, trusted=_TRUSTED)
        except Exception as error:
            raise CheckpointError(f"{file} cannot be read safely: {error}") from error
        found = cls(Columns(held["columns"]), transformer, classes=held["classes"], own=held["own"])
        found.width = held.get("width")
        return found


def _usual(columns: Columns, plain: Any) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import MissingIndicator, SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = [name for name in plain.columns if columns.kinds[name] != "word"]
    gaps = [name for name in numbers if plain[name].isna().any()]
    words = columns["word"]
    kept = [_frequent(plain[name]) for name in words]
    scaled = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    told = OneHotEncoder(categories=kept, handle_unknown="ignore", sparse_output=False)
    parts = [
        ("numbers", scaled, numbers),
        ("gaps", MissingIndicator(features="all"), gaps),
        ("words", told, words),
    ]
    return ColumnTransformer([part for part in parts if part[2]], sparse_threshold=0)


def _frequent(column: Any) -> np.ndarray[Any, Any]:
    """The words that are told apart; of equally frequent ones the first in the alphabet."""
    words, counts = np.unique(column.to_numpy().astype(str), return_counts=True)
    if len(words) > _WORDS and len(words) > len(column) / 2:
        _warn(
            f"the column {column.name!r} has {len(words)} different words in {len(column)} rows, and the "
            f"{_WORDS} most frequent are told apart; leave it out if it names the rows"
        )
    order = np.argsort(-counts, kind="stable")[:_WORDS]
    return np.sort(words[order]).astype(object)


def _fitted(came: Any, frame: Any) -> Any:
    from sklearn.base import clone
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    if not hasattr(came, "transform"):
        raise ModelError(
            f"preprocessing came as {type(came).__name__}; expected a transformer of scikit-learn, such as a "
            "ColumnTransformer or a pipeline of them"
        )
    try:
        try:
            check_is_fitted(came)
        except NotFittedError:
            return clone(came).fit(frame)
        return came
    except Exception as error:
        raise ModelError(
            f"the preprocessing cannot be fitted on the training rows: {first_line(error)}"
        ) from error


def _skops() -> Any:
    try:
        import skops.io
    except ImportError as error:
        raise MissingExtra("skops", extra="tabular", purpose="keeping a preprocessing") from error
    return skops.io


def _warn(said: str) -> None:
    warnings.warn(said, TutelageWarning, stacklevel=4)
