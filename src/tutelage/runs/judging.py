"""The verdicts of a run, and what makes them doubtful."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tutelage.engine import read_history
from tutelage.evaluation import (
    PROBABILITIES,
    ArmRecord,
    Comparison,
    Verdict,
    are_probabilities,
    compare,
    credited,
    gap_closed,
    holm,
    sanity,
)
from tutelage.runs.examined import Examined
from tutelage.runs.measuring import Measured
from tutelage.studies import Study
from tutelage.studies.compared import differences
from tutelage.studies.placebo import PLACEBO
from tutelage.studies.stored import about_answers
from tutelage.teachers import Teacher

__all__ = [
    "difference_of",
    "gap",
    "judged",
    "last_records",
    "sane",
    "warnings_of",
    "with_doubts",
    "without_control",
]

_LONGER = "train for longer first, or mend what else makes the comparison doubtful"
_MEND = "mend first what makes the comparison doubtful"


def judged(
    study: Study, examined: Mapping[str, Examined], looks: int, sanity: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """The verdict on each outcome that is held against another; the primary one first.

    Args:
        study: what was compared.
        examined: every outcome, by name.
        looks: how often the test set was looked at, this time included.
        sanity: what stands above the verdicts.
    """
    pairs = [(name, str(one.against)) for name, one in study.outcomes.items() if one.against is not None]
    pairs += [pair for pair in study.compare if pair not in pairs]
    pairs.sort(key=lambda pair: pair[0] != study.primary)
    if PLACEBO in examined and study.primary in dict(pairs):
        pairs.append((study.primary, PLACEBO))
    if not pairs or pairs[0][0] != study.primary:
        return [without_control(study)]
    comparisons = [_comparison(study, examined[of], examined[against], looks) for of, against in pairs]
    verdicts = with_doubts(holm(comparisons, primary=0), sanity)
    return [verdict.as_dict() for verdict in _with_credit(pairs, verdicts)]


def difference_of(
    study: Study, of: Examined, against: Examined
) -> tuple[float | None, tuple[float, float] | None]:
    """The difference in the metric of two outcomes that are not judged, and its interval; by itself.

    Args:
        study: whose.
        of, against: the two, measured.
    """
    (verdict,) = holm([_comparison(study, of, against, 1)], primary=0)
    return verdict.difference, verdict.interval


def without_control(study: Study) -> dict[str, Any]:
    """What is said where nothing was trained to compare with."""
    return Verdict(
        word="not shown",
        of=study.primary,
        against="",
        metric=study.problem.metric,
        difference=float("nan"),
        interval=None,
        level=study.level,
        why="No control was trained, so nothing shows whether the teacher helped.",
        uncontrolled=("everything: there is no control",),
        advice=("train the control too",),
    ).as_dict() | {"difference": None}


def sane(
    study: Study, examined: Mapping[str, Examined], teacher: Measured | None, histories: Mapping[str, Any]
) -> list[str]:
    """What stands above the verdict because it makes all below it doubtful.

    Args:
        study: what was compared.
        examined: every outcome, by name.
        teacher: its answers; None where nobody was asked, or one that says nothing by itself.
        histories: by arm and seed, the records of its last stage.
    """
    problem = study.problem
    against = study.outcomes[study.primary].against
    return sanity(
        {name: _record(one, histories) for name, one in examined.items()},
        metric=problem.metric,
        higher_is_better=problem.higher_is_better,
        chance=problem.chance,
        examples=len(problem.reported),
        teacher=None if teacher is None else teacher.quality[problem.metric],
        control=against or "",
    )


def with_doubts(verdicts: Sequence[Verdict], sanity: Sequence[str]) -> list[Verdict]:
    """The same verdicts, with what makes each doubtful, and with the advice to mend that before all other.

    Where teacher, student or control are at chance, a better student is nobody's credit.

    Args:
        verdicts: of a run.
        sanity: what stands above them.
    """
    return [_with_doubts(verdict, sanity) for verdict in verdicts]


def _with_doubts(verdict: Verdict, sanity: Sequence[str]) -> Verdict:
    names = ("The teacher ", f"{verdict.of}: ", f"{verdict.against}: ")
    doubts = tuple(line for line in sanity if line.startswith(names))
    if not doubts:
        return verdict
    first, advice = _MEND, [line for line in verdict.advice if not line.startswith("train for longer")]
    if any("train longer" in line for line in doubts):
        first = _LONGER
    elif verdict.word == "worse":
        first, advice = "", list(verdict.advice)
    at_chance = any("chance" in line or "do the training labels belong" in line for line in doubts)
    return replace(
        verdict,
        doubts=doubts,
        advice=(*filter(None, [first]), *advice),
        credit="nobody" if at_chance and verdict.word == "better" else None,
        why=f"{verdict.why}; to be read with its doubts" if at_chance else verdict.why,
    )


def warnings_of(study: Study, teacher: Teacher | None, answers: Measured | None) -> list[str]:
    """What a reader should know beside the verdict.

    Args:
        study: what was compared.
        teacher: who was asked; None for nobody.
        answers: the teacher's, measured; None where it says nothing by itself.
    """
    found = list(about_answers(study))
    logits = None if answers is None else getattr(answers.answers, "logits", None)
    if logits is not None and are_probabilities(logits):
        found.append(PROBABILITIES)
    if study.outcomes[study.primary].against is None:
        found.append("No control was trained, so nothing here shows that the teacher helped.")
    if len(study.seeds) == 1:
        found.append("Only one seed ran, so the spread between seeds is unknown and nothing can be shown.")
    if teacher is not None and teacher.reads_labels:
        found.append(
            "the teacher answers by the labels: its quality, and the student's fidelity to it, say nothing"
        )
    if teacher is not None and teacher.moves:
        found.append("the teacher is a copy of the student that follows it, and is not measured by itself")
    return found


def gap(study: Study, examined: Mapping[str, Examined], teacher: Measured | None) -> float | None:
    """The share of the gap between control and teacher that the primary outcome closed."""
    against, metric = study.outcomes[study.primary].against, study.problem.metric
    if against is None or teacher is None:
        return None
    means = []
    for name in (against, study.primary):
        values = [one.quality[metric] for one in examined[name].finished]
        if not values:
            return None
        means.append(sum(values) / len(values))
    return gap_closed(teacher.quality[metric], *means, higher_is_better=study.problem.higher_is_better)


def last_records(arm: Path, stages: Sequence[int]) -> list[dict[str, Any]]:
    """The history of an arm's last training."""
    return read_history(arm / f"stage{stages[-1]}" / "history.jsonl") if stages else []


def _comparison(study: Study, of: Examined, against: Examined, looks: int) -> Comparison:
    failed = _guess(study, of, against)
    cells = [one.cells(failed=failed) for one in (against, of)]
    told = cells[0] is not None and cells[1] is not None and cells[0].shape[1] > 1
    return compare(
        study.problem.metric,
        against.scores(failed=failed),
        of.scores(failed=failed),
        examples=(cells[0], cells[1]) if told else None,  # type: ignore[arg-type]
        num_examples=of.num_examples if told else None,
        higher_is_better=study.problem.higher_is_better,
        level=study.level,
        uncontrolled=_uncontrolled(study, of.name, against.name) if of.name in study.outcomes else [],
        of=of.name,
        against=against.name,
        looks=looks,
        copies=of.copies or against.copies,
    )


def _guess(study: Study, *both: Examined) -> float:
    """What a seed that broke off counts as: a guess, or the worst of all seeds where that is not known."""
    if study.problem.chance is not None:
        return study.problem.chance
    metric, worst = study.problem.metric, min if study.problem.higher_is_better else max
    values = [held.quality[metric] for one in both for held in one.finished]
    return float(worst(values)) if values else 0.0


def _uncontrolled(study: Study, of: str, against: str) -> list[str]:
    found = [*study.uncontrolled, *differences(study, of, against)]
    if study.problem.test is None:
        found.append("a test set: results are those of the validation split, which also chose the weights")
    return found


def _with_credit(pairs: Sequence[tuple[str, str]], verdicts: Sequence[Verdict]) -> list[Verdict]:
    found = list(verdicts)
    if pairs[-1][1] == PLACEBO and len(pairs) > 1 and found[0].credit is None:
        found[0] = credited(found[0], found[-1])
    return found


def _record(one: Examined, histories: Mapping[str, Any]) -> ArmRecord:
    metric = one.problem.metric
    records = [
        held
        for held, answer in zip(histories[one.outcome.arm], one.measured, strict=True)
        if answer is not None
    ]
    return ArmRecord(
        values=[held.quality[metric] for held in one.finished],
        histories=[
            [(r["step"], r["validation"][metric]) for r in each if metric in r.get("validation", {})]
            for each in records
        ],
        losses=[[(r["step"], r["loss"]) for r in each if "loss" in r] for each in records],
        failed_seeds=one.failed,
    )
