"""What came of a tuning: every trial, what was chosen, what each knob mattered."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tutelage.errors import ModelError
from tutelage.tuning.finalists import Finalist
from tutelage.tuning.knobs import Knob
from tutelage.tuning.work import values_of

if TYPE_CHECKING:
    import optuna

__all__ = ["SideResult", "side_result", "tuning_record"]


@dataclass(frozen=True)
class SideResult:
    """What came of a side.

    Args:
        chosen: the values that are best on validation, by key.
        value: their mean over the further seeds.
        told: everything, as plain data.
    """

    chosen: Mapping[str, Any]
    value: float | None
    told: Mapping[str, Any]


def side_result(
    study: optuna.Study | None,
    knobs: Sequence[Knob],
    finalists: Sequence[Finalist],
    *,
    maximize: bool,
    seeds: Sequence[int],
) -> SideResult:
    """Choose, and tell everything.

    Args:
        study: the trials; None for a side with nothing to tune.
        knobs: what they varied.
        finalists: the best of them, trained again.
        maximize: whether more is better.
        seeds: with which they were trained again.

    Raises:
        ModelError: each finalist broke off with some seed.
    """
    if study is None:
        told: dict[str, Any] = {
            "trials": [],
            "finalists": [],
            "chosen": {},
            "value": None,
            "importance": {},
            "seconds": 0.0,
        }
        return SideResult(
            {}, None, told | {"search": {}, "said": "nothing to tune: no knob of the search is its own"}
        )
    best = _chosen(finalists, maximize)
    trials = [_trial(held, knobs) for held in study.get_trials(deepcopy=False)]
    seconds = sum(one["seconds"] for one in trials) + sum(one.seconds for one in finalists)
    told = {
        "search": {knob.key: knob.said() for knob in knobs},
        "trials": trials,
        "finalists": [
            {"trial": one.number, "values": dict(one.values), "scores": list(one.scores), "mean": one.mean}
            for one in finalists
        ],
        "seeds": list(seeds),
        "chosen": dict(best.values),
        "value": best.mean,
        "importance": _importance(study),
        "seconds": seconds,
    }
    return SideResult(best.values, best.mean, told)


def tuning_record(sides: Mapping[str, SideResult], teacher: float) -> dict[str, Any]:
    """What a recipe keeps of it.

    Args:
        sides: by name.
        teacher: seconds of its training, where it was trained for this.
    """
    found = {name: _record(side.told) for name, side in sides.items()}
    return found | ({"teacher": {"seconds": round(teacher, 1)}} if teacher else {})


def _record(told: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"trials": len(told["trials"])}
    if "said" in told:
        return found | {"said": told["said"]}
    return found | {
        "finalists": len(told["finalists"]),
        "seeds": max(1, len(told["seeds"])),
        "seconds": round(told["seconds"], 1),
        "split": "validation",
        "search": dict(told["search"]),
    }


def _chosen(finalists: Sequence[Finalist], maximize: bool) -> Finalist:
    done = [one for one in finalists if one.mean is not None]
    if not done:
        raise ModelError(
            f"each of the {len(finalists)} best settings broke off with some further seed; search smaller "
            "learning rates, or more trials"
        )
    sign = -1 if maximize else 1
    return min(done, key=lambda one: (sign * (one.mean or 0.0), one.number))


def _trial(held: optuna.trial.FrozenTrial, knobs: Sequence[Knob]) -> dict[str, Any]:
    finite = held.value is not None and math.isfinite(held.value)
    return {
        "number": held.number,
        "state": held.state.name.lower(),
        "values": values_of(knobs, held.params),
        "value": held.value if finite and held.state.name == "COMPLETE" else None,
        "last": held.value if finite else None,
        "validations": len(held.intermediate_values),
        "seconds": float(held.user_attrs.get("seconds", 0.0)),
        "why": held.user_attrs.get("why"),
    }


def _importance(study: optuna.Study) -> dict[str, float]:
    """The share of the metric's variance that each knob explains, by fANOVA; empty where that is unknown."""
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
    except (RuntimeError, ValueError):
        return {}
    return {key: float(value) for key, value in found.items() if math.isfinite(value)}
