"""An arm whose teacher only repeats the labels, by the same terms: was it the teacher, or the recipe?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor, nn

from tutelage.capture import call
from tutelage.data import Loader, Showing, Source, reading
from tutelage.errors import ModelError
from tutelage.evaluation.size import flops
from tutelage.studies.study import Outcome, Stage, Study
from tutelage.teachers import Teacher, Virtual
from tutelage.types import Batch

__all__ = [
    "PLACEBO",
    "can_have_placebo",
    "fitting_steps",
    "pays",
    "refuse_placebo",
    "repeat_labels",
    "with_placebo",
]

T = TypeVar("T")

PLACEBO = "placebo"
_CLASSES = 1000  # beyond them, all logits of a batch take more memory than a placebo is worth
_ASKED = 512  # examples by which the teacher's confidence is measured
_FORWARDS = 3  # of the student, in a step: one forward pass, and a backward of about two


def can_have_placebo(study: Study) -> bool:
    """Whether a teacher that repeats the labels could give what the primary arm's terms look at."""
    arm, classes = study.first, study.problem.num_classes
    stages = [stage for _, stage in arm.trainings if stage.asks]
    terms = [term for stage in stages for term in stage.declared.terms if term.needs_teacher]
    outcome = study.outcomes[study.primary]
    return (
        study.teacher is not None
        and outcome.against is not None
        and len(arm.networks) == 1
        and classes is not None
        and classes <= _CLASSES
        and all(stage.declared.asks == "data" and stage.taught_by == ("plan",) for stage in stages)
        and bool(terms)
        and not any(term.layers for term in terms)
        and not any(_mixes(stage) for stage in stages)
        and arm.correction is None
    )


def refuse_placebo(study: Study) -> None:
    """Refuse a placebo that was asked for where there can be none.

    Raises:
        ModelError: it was asked for.
    """
    if study.placebo and not can_have_placebo(study):
        why = (
            "a teacher that repeats the labels cannot give what the student's terms look at: it has no "
            "layers, and answers nothing that a stage makes"
            if study.asks
            else "no teacher outside is asked, in whose place it could stand"
        )
        raise ModelError(f"a placebo was asked for, and {why}; leave placebo out")


def pays(study: Study, teacher: Teacher, device: torch.device) -> bool:
    """Whether a placebo costs less than a third of the run without it, by arithmetic alone.

    A student's step is three of its forward passes; one that is taught asks the teacher too. A placebo's
    steps cost as much as the control's, so it adds 3F to 6F + T, which is below a third where T > 3F.
    """
    name, build = next(iter(study.first.networks.items()))
    network, batch = build().to(device).eval(), study.problem.train.batch([0]).to(device)
    ours = _forward_flops(network, reading(batch, study.problem.reads.get(name)))
    with torch.no_grad():
        theirs = flops(lambda: teacher(batch))
    return ours is not None and theirs is not None and theirs > _FORWARDS * ours


def with_placebo(study: Study) -> Study:
    """The study with an arm beside the primary one whose teacher repeats the labels."""
    outcome = study.outcomes[study.primary]
    arm, control = study.first, study.arms[study.outcomes[str(outcome.against)].arm]
    source = control.source
    stages = [
        fitting_steps(stage, arm.source, source) if isinstance(stage, Stage) else stage
        for stage in arm.stages
    ]
    placebo = replace(arm, stages=stages, source=source, teacher=repeat_labels, like=None)
    arms = _before(study.arms, outcome.arm, PLACEBO, placebo)
    held = _before(study.outcomes, study.primary, PLACEBO, Outcome(PLACEBO, network=outcome.network))
    held[study.primary] = outcome
    return replace(study, arms=arms, outcomes=held)


def fitting_steps(stage: Stage, was: Source, now: Source) -> Stage:
    """The same stage on other data: as many steps, and as many looks at the validation split."""
    if len(was) == len(now) or stage.data is not None:
        return stage
    size = stage.settings.batch_size
    steps = stage.settings.total_steps(len(Loader(was, batch_size=size)))
    every = max(1, math.ceil(stage.settings.validate_every * len(was) / len(now)))
    changed = {"epochs": None, "steps": steps, "validate_every": every}
    return replace(stage, settings=stage.settings.model_copy(update=changed))


def repeat_labels(teacher: Teacher, study: Study) -> Teacher:
    """A teacher that answers by the labels, as sure of them as the real one is of its answers."""
    classes = study.problem.num_classes
    assert classes is not None
    device = next((p.device for p in teacher.parameters()), torch.device("cpu"))
    sure = torch.cat(list(_confidences(teacher, study.first.source, device))).mean()
    least = 1 / classes
    correct = min(max(float(sure), least + 0.01 * (1 - least)), 1 - 1e-4)
    return Virtual(num_classes=classes, correct=correct).to(device)


def _mixes(stage: Stage) -> bool:
    """Whether examples are mixed, so that no label is true of them."""
    return isinstance(stage.transform, Showing) and stage.transform.mixup is not None


def _confidences(teacher: Teacher, source: Source, device: torch.device) -> Iterator[Tensor]:
    for start in range(0, min(_ASKED, len(source)), 128):
        batch = source.batch(range(start, min(start + 128, _ASKED, len(source)))).to(device)
        with torch.no_grad():
            answer = teacher(batch)
        if answer.sparse is not None:
            yield answer.sparse.scores.float().exp().amax(-1).flatten()
        else:
            logits = answer.logits if answer.head is None else answer.head.whole()
            assert logits is not None
            yield logits.float().softmax(-1).amax(-1).flatten()


def _forward_flops(network: nn.Module, batch: Batch) -> float | None:
    with torch.no_grad():
        return flops(lambda: call(network, batch.inputs))


def _before(held: Mapping[str, T], name: str, new: str, value: T) -> dict[str, T]:
    """A mapping with a further entry before one of its own."""
    found: dict[str, T] = {}
    for key, each in held.items():
        if key == name:
            found[new] = value
        found[key] = each
    return found
