"""A teacher that is no network: anything with `fit` and `predict_proba`."""

from __future__ import annotations

import pickle
import time
from typing import Any

from tutelage.errors import DataError
from tutelage.recipes.form import NamedField, Spec
from tutelage.recipes.names import call, find
from tutelage.recipes.parts import Field
from tutelage.studies import TeacherPlan
from tutelage.tasks import vision
from tutelage.teachers import Predictor, Teacher

__all__ = ["PredictorSpec", "plan_predictor"]


class PredictorSpec(Spec):
    """Anything with `fit` and `predict_proba`, fitted here on the whole training split.

    Args:
        model: `package.module:Class` and its settings.
        seed: given as `random_state` where the class takes it.
        remember: keep its answers to unaugmented examples in memory, and ask it once about each.
    """

    model: NamedField
    seed: int = 0
    remember: bool = False


def plan_predictor(spec: PredictorSpec, held: Field) -> TeacherPlan:
    """Fit it when it is first asked for."""
    fitted = _Fitted(spec, held)
    return TeacherPlan(
        lambda _: Predictor(fitted.model()),
        nbytes=fitted.nbytes,
        remember=spec.remember,
        seconds=lambda: fitted.seconds,
    )


class _Fitted:
    """A predictor, fitted when it is first asked for."""

    def __init__(self, spec: PredictorSpec, held: Field) -> None:
        kind = find("predictor", spec.model.name, vision.models)
        options = dict(spec.model.settings)
        self._made = call("predictor", spec.model.name, kind, options)
        if "random_state" in self._made.get_params() and "random_state" not in options:
            self._made.set_params(random_state=spec.seed)
        self._source, self._done, self.seconds = held.problem.train, False, 0.0

    def model(self) -> Any:
        if not self._done:
            batch = self._source.batch(range(len(self._source)))
            if batch.labels is None:
                raise DataError("a predictor is fitted on labels, and the training split has none")
            clock = time.perf_counter()
            self._made.fit(batch.inputs.flatten(1).numpy(), batch.labels.numpy())
            self.seconds, self._done = time.perf_counter() - clock, True
        return self._made

    def nbytes(self, teacher: Teacher) -> int:  # noqa: ARG002
        """The size of its pickle, which is how scikit-learn keeps it; nothing is read from one here."""
        return len(pickle.dumps(self.model()))
