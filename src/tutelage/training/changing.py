"""A change between trainings, measured before and after, and undone where it is not worth it."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch import nn

from tutelage.capture import call, capture
from tutelage.compression import Calibration, Changed
from tutelage.data import reading
from tutelage.engine import Runtime
from tutelage.errors import TutelageWarning
from tutelage.evaluation import latencies
from tutelage.modes import evaluating
from tutelage.studies import Change
from tutelage.tasks.problem import Problem
from tutelage.traced import OnnxNetwork, missing_instructions
from tutelage.training.stage import evaluation_loader

__all__ = ["SLOWER", "Step", "Unjudged", "make_change"]

SLOWER = 1.1
"""A ratio of latencies from which on a network is called slower."""


@dataclass(frozen=True)
class Step:
    """What one change did, and what it was worth.

    Args:
        network: what came of it; the old one where it was undone.
        done: as `Changed.done`.
        about: `metric` before and after on the validation split, `slower` by batch size, the instructions
            for INT8 that the processor is `lacking` where that may be why, and why it was `undone`; empty
            where nobody asked.
    """

    network: nn.Module
    done: Mapping[str, Any]
    about: Mapping[str, Any]


def make_change(
    change: Change,
    name: str,
    network: nn.Module,
    calibration: Calibration,
    problem: Problem,
    runtime: Runtime,
) -> Step:
    """Change a network; where a tolerance or a condition was set, measure it before and after.

    Args:
        change: what to do.
        name: of the network.
        network: as it is.
        calibration: training examples.
        problem: data and exam.
        runtime: where.
    """
    if change.tolerance is None and change.keep == "always":
        done = _changed(change, network, calibration, runtime)
        return Step(done.network, done.done, {})
    before = copy.deepcopy(network)
    was = _worth(before, name, problem, runtime)
    done = _changed(change, network, calibration, runtime)
    now = _worth(done.network, name, problem, runtime)
    about: dict[str, Any] = {"metric": {"before": was, "after": now}}
    about["slower"] = runtime.share(_slower(before, done.network, name, problem, runtime))
    if about["slower"] and isinstance(done.network, OnnxNetwork) and done.network.rounded == "all":
        about["lacking"] = runtime.share(missing_instructions())
    why = _why_not(change, about, problem)
    if why:
        warnings.warn(f"{change.name} of the {name}: {'; '.join(why)}", TutelageWarning, stacklevel=2)
    if why and change.keep == "if_better":
        return Step(before, {}, about | {"undone": "; ".join(why)})
    return Step(done.network, done.done, about)


class Unjudged:
    """What walks that keep nothing do at a change: make it, whatever it costs.

    Args:
        problem: data and exam.
        runtime: where.
    """

    def __init__(self, problem: Problem, runtime: Runtime) -> None:
        self.problem, self.runtime = problem, runtime

    def changed(
        self,
        number: int,  # noqa: ARG002
        change: Change,
        network: str,
        net: nn.Module,
        calibration: Calibration,
    ) -> Step:
        """Change the network, as a run does."""
        plain = replace(change, tolerance=None, keep="always")
        return make_change(plain, network, net, calibration, self.problem, self.runtime)


def _changed(change: Change, network: nn.Module, calibration: Calibration, runtime: Runtime) -> Changed:
    found = change.changer.change(network, calibration)
    changed = found.network.to(runtime.device)
    runtime.same_everywhere_([changed])
    return Changed(changed, dict(runtime.share(dict(found.done))))


def _worth(network: nn.Module, name: str, problem: Problem, runtime: Runtime) -> float:
    """The metric on the validation split."""
    exam, reads = problem.exam, problem.reads.get(name)
    with evaluating(network):
        answers = exam.ask(
            lambda batch: capture(network, reading(batch, reads).inputs, exam.layers),
            evaluation_loader(problem.validation),
            device=runtime.device,
        )
    value: float = runtime.share(exam.measure(answers)[exam.metric])
    return value


def _slower(
    before: nn.Module, after: nn.Module, name: str, problem: Problem, runtime: Runtime
) -> dict[str, float]:
    """By batch size how many times slower the network became, where that is more than noise."""
    example = reading(problem.validation.batch([0]), problem.reads.get(name)).inputs
    both = {"before": before, "after": after}
    with evaluating(*both.values()):
        timed = latencies(
            {key: (partial(call, net), example) for key, net in both.items()},
            runtime.device,
            reference="before",
        )
    found = {}
    for batch, held in timed["after"].items():
        ratio = held["p50"] / timed["before"][batch]["p50"]
        if ratio > SLOWER and held["stable"] and timed["before"][batch]["stable"]:
            found[batch] = ratio
    return found


def _why_not(change: Change, about: Mapping[str, Any], problem: Problem) -> list[str]:
    sign = 1 if problem.higher_is_better else -1
    lost = sign * (about["metric"]["before"] - about["metric"]["after"])
    allowed = change.tolerance or 0.0
    found = []
    if lost > allowed:
        was, now = (about["metric"][when] for when in ("before", "after"))
        found.append(
            f"{problem.metric} went from {was:.4g} to {now:.4g} on the validation split, and {allowed:g} may "
            "be lost"
        )
    if about["slower"]:
        times = ", ".join(f"{ratio:.2g} times at batch {batch}" for batch, ratio in about["slower"].items())
        lacking = f", on a processor without {about['lacking']} for INT8" if about.get("lacking") else ""
        found.append(f"it is slower than before ({times}{lacking})")
    return found
