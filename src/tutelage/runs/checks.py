"""What can be refused before anything is trained."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from tutelage.capture import capture
from tutelage.data import check_labels, reading
from tutelage.errors import DataError, ModelError, TutelageError, TutelageWarning, first_line
from tutelage.modes import evaluating
from tutelage.runs.advice import advice, described
from tutelage.studies import Arm, Outcome, Study, fresh_networks
from tutelage.studies.placebo import refuse_placebo
from tutelage.studies.stored import about_answers, check_answers
from tutelage.tasks.other_exams import AgreementExam
from tutelage.training.inputs import check_inputs
from tutelage.training.stage import check_width
from tutelage.types import UNLABELLED, Batch, Outputs

__all__ = ["asked", "check_study"]


def check_study(study: Study, device: torch.device) -> None:
    """Show each network one example of each split, look at the range of the labels, and look answers up.

    Of the test split nothing else is read before the end.

    Raises:
        DataError: labels out of range, or a control without labels.
        ModelError: a network cannot read an example, or answers with too few classes.
        AnswersError: the teacher's stored answers are not those that the study will ask for.
    """
    seen: set[tuple[str, ...]] = set()
    for name, outcome in study.outcomes.items():
        arm = study.arms[outcome.arm]
        if outcome.against is not None or name == study.primary:
            key = (*map(str, outcome.parts), *map(str, map(id, arm.networks.values())))
            if key not in seen:
                _check_network(study, arm, outcome, device)
            seen.add(key)
    for control in {one.against for one in study.outcomes.values() if one.against is not None}:
        _check_labelled(study.arms[study.outcomes[control].arm])
    _check_reported(study)
    refuse_placebo(study)
    check_answers(study)
    for line in about_answers(study):
        warnings.warn(line, TutelageWarning, stacklevel=2)


def _check_network(study: Study, arm: Arm, outcome: Outcome, device: torch.device) -> None:
    problem = study.problem
    splits = {"the training data": arm.source, "the validation data": problem.validation}
    if problem.test is not None:
        splits["the test data"] = problem.test
    fresh = fresh_networks(arm, study.seeds[0])
    network = outcome.of(lambda name, _: fresh[name]).to(device)
    reads = problem.reads.get(outcome.network)
    with evaluating(network):
        for where, source in splits.items():
            batch = source.batch([0]).to(device)
            labels = batch.labels if source.labels is None else source.labels
            if problem.num_classes is not None:
                check_labels(labels, problem.num_classes, where=where)
            who = f"the {outcome.network} ({_kind(network)})"
            answer = asked(
                lambda b: capture(network, reading(b, reads).inputs, problem.exam.layers),
                batch,
                who=who,
                where=where,
            )
            check_width(answer, problem.num_classes, who=who)
            check_inputs(network, source, reads, where=where, device=device, name=f"the {outcome.network}")


def asked(answer: Callable[[Batch], Outputs], batch: Batch, *, who: str, where: str) -> Outputs:
    """What a network says about a batch; what it raises is said in the words of a user.

    Args:
        answer: a teacher or a wrapped network.
        batch: one example.
        who: what to call the network in messages.
        where: what to call the data in messages.

    Raises:
        ModelError: the network cannot be called with the batch.
    """
    try:
        with torch.no_grad():
            return answer(batch)
    except TutelageError:
        raise
    except Exception as error:
        raise ModelError(
            f"{who} cannot be called with an example of {where}, {described(batch)}: {first_line(error)}. "
            f"{advice(error, batch)}"
        ) from error


def _check_labelled(arm: Arm) -> None:
    """Refuse a control without labels, where its terms need them."""
    source = arm.source
    terms = [term for _, stage in arm.trainings for term in stage.declared.terms]
    needs = any(term.labels and not term.needs_teacher for term in terms)
    labels = source.batch([0]).labels if source.labels is None else source.labels
    unlabelled = isinstance(source.labels, Tensor) and bool((source.labels == UNLABELLED).all())
    if needs and (labels is None or unlabelled):
        raise DataError(
            "the training data has no labels, and the student alone (the control) has nothing else to learn "
            "from; give labels, or train no control: control=False, in a recipe `control: false`"
        )


def _check_reported(study: Study) -> None:
    """Refuse a split of classes without labels, on which nothing could be right or wrong at the end."""
    problem = study.problem
    if problem.num_classes is None or isinstance(getattr(problem.exam, "exam", problem.exam), AgreementExam):
        return
    for where, source in (("validation", problem.validation), ("test", problem.test)):
        if source is None:
            continue
        known = source.labels
        labels = source.batch([0]).labels if known is None else known
        classes = isinstance(known, Tensor) and not known.is_floating_point()
        if labels is None or (classes and not bool(torch.ne(torch.as_tensor(known), UNLABELLED).any())):
            raise DataError(
                f"the {where} data has no labels, so nothing could be measured on it; give labels, or leave "
                f"{where} out"
            )


def _kind(network: nn.Module) -> str:
    return type(network).__name__
