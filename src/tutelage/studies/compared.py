"""What differs between two arms, found by comparing what is known of them before they are trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tutelage.data import Loader, Source
from tutelage.schemes.declared import Term
from tutelage.studies.study import Arm, Change, Outcome, Stage, Study
from tutelage.studies.views import said
from tutelage.types import UNLABELLED

__all__ = ["differences", "labelled_in", "total_steps"]

_LENGTHS = {"epochs", "steps", "validate_every", "checkpoint_every", "log_every", "workers"}
"""Settings that say how long, which steps say better, or that change no number."""


def differences(study: Study, of: str, against: str) -> list[str]:
    """What is not the same in two outcomes' trainings beside the teacher's terms, in plain words.

    What is equal is not mentioned. What comes of training, such as seconds, is not known here.

    Args:
        study: whose.
        of, against: names of outcomes.
    """
    ours, theirs = study.outcomes[of], study.outcomes[against]
    pair = (of, against)
    one, other = (_learning(study, each) for each in (ours, theirs))
    return [
        *_networks(study, ours, theirs, pair),
        *_members(ours, theirs, pair),
        *_steps(study, ours, theirs, pair),
        *_data(study.arms[ours.arm], study.arms[theirs.arm], pair),
        *_terms(one, other, pair),
        *_settings(one, other, pair),
        *_changes(study.arms[ours.arm], study.arms[theirs.arm], pair),
        *_teacher(study, ours, theirs, of),
        *_passes(study, ours, theirs, pair),
    ]


def total_steps(arm: Arm, stage: int | None = None, network: str = "student") -> int | None:
    """Updates of a network up to a stage and with it, or of all; None where a stage makes its own data."""
    return _sum_of_steps(arm, [held for _, held in arm.learning(network, stage)])


def _sum_of_steps(arm: Arm, stages: Sequence[Stage]) -> int | None:
    steps = [_stage_steps(arm, held) for held in stages]
    known = [count for count in steps if count is not None]
    return sum(known) if len(known) == len(steps) else None


def labelled_in(source: Source) -> int | None:
    """How many examples have a label; None where that is not known without reading them."""
    labels = source.labels
    return None if labels is None else int((labels != UNLABELLED).sum())


def _stage_steps(arm: Arm, stage: Stage) -> int | None:
    source = arm.source_of(stage)
    if source is None:
        return stage.settings.steps
    return stage.settings.total_steps(len(Loader(source, batch_size=stage.settings.batch_size)))


def _networks(study: Study, ours: Outcome, theirs: Outcome, pair: tuple[str, str]) -> Iterator[str]:
    one, other = (study.arms[each.arm].built_by.get(each.network) for each in (ours, theirs))
    if one != other and None not in (one, other):
        yield f"network: {one} for the {pair[0]}, {other} for the {pair[1]}"


def _steps(study: Study, ours: Outcome, theirs: Outcome, pair: tuple[str, str]) -> Iterator[str]:
    one, other = (total_steps(study.arms[each.arm], each.stage, each.network) for each in (ours, theirs))
    if one != other and one is not None and other is not None:
        yield f"steps: the {pair[0]} made {one} and the {pair[1]} {other}"
    others = [_others(study.arms[each.arm], each) for each in (ours, theirs)]
    for (trained, count), name in zip(others, pair, strict=True):
        if trained and others[0] != others[1]:
            yield f"compute: {count} steps of {trained}, which teach the {name}, come on top of its own"


def _others(arm: Arm, outcome: Outcome) -> tuple[str, int | None]:
    """The networks that learn in other stages than an outcome's own does, and their steps."""
    own = {number for number, _ in arm.learning(outcome.network)}
    others = [stage for number, stage in arm.trainings if number not in own]
    return ", ".join(dict.fromkeys(stage.student for stage in others)), _sum_of_steps(arm, others)


def _members(ours: Outcome, theirs: Outcome, pair: tuple[str, str]) -> Iterator[str]:
    one, other = len(ours.parts), len(theirs.parts)
    if one != other:
        count = [f"{number} that answer together" if number > 1 else "1" for number in (one, other)]
        yield f"networks: the {pair[0]} is {count[0]}, the {pair[1]} is {count[1]}"


def _data(ours: Arm, theirs: Arm, pair: tuple[str, str]) -> Iterator[str]:
    one, other = (_last_source(arm) for arm in (ours, theirs))
    if one is other or one is None or other is None:
        return
    if len(one) != len(other):
        yield f"data: the {pair[0]} saw {len(one)} examples and the {pair[1]} {len(other)}"
    known = [labelled_in(source) for source in (one, other)]
    if known[0] != known[1] and None not in known:
        yield f"labels: the {pair[0]} saw {known[0]} and the {pair[1]} {known[1]}"


def _last_source(arm: Arm) -> Source | None:
    stages = [stage for _, stage in arm.trainings]
    return arm.source_of(stages[-1]) if stages else arm.source


def _terms(ours: Sequence[Stage], theirs: Sequence[Stage], pair: tuple[str, str]) -> Iterator[str]:
    """Terms that need no teacher, and are not in both; weights that differ."""
    one, other = _kept(ours), _kept(theirs)
    for name, extra in ((pair[0], one.keys() - other.keys()), (pair[1], other.keys() - one.keys())):
        if extra:
            yield f"terms: only the {name} learns by {', '.join(sorted(extra))}"
    for text in sorted(one.keys() & other.keys()):
        if one[text] != other[text]:
            yield (
                f"weights: {text} counts {_number(one[text])} for the {pair[0]} and "
                f"{_number(other[text])} for the {pair[1]}, which has no teacher's terms beside it"
            )


def _kept(stages: Sequence[Stage]) -> dict[str, float | str]:
    terms: Sequence[Term] = [term for stage in stages for term in stage.declared.terms]
    return {term.text: term.weight for term in terms if not term.needs_teacher}


def _number(weight: float | str) -> str:
    return f"{weight:g}" if isinstance(weight, float | int) else weight


def _learning(study: Study, outcome: Outcome) -> list[Stage]:
    """The trainings in which an outcome's network learns, whatever its stage."""
    return [stage for _, stage in study.arms[outcome.arm].learning(outcome.network)]


def _settings(one: Sequence[Stage], other: Sequence[Stage], pair: tuple[str, str]) -> Iterator[str]:
    if not one or not other:
        return
    if len(one) != len(other):
        yield (
            f"schedules: the {pair[0]} trains in {len(one)} stages and the {pair[1]} in {len(other)}, each "
            "with a learning rate schedule of its own"
        )
    first, last = one[-1], other[-1]
    for name, value in first.optimizers.items():
        if name in last.optimizers and last.optimizers[name] != value:
            both = " and ".join(map(_optimizer, (value, last.optimizers[name])))
            yield f"optimizer: that of {name} differs: {both}"
    held, kept = (stage.settings.model_dump(exclude=_LENGTHS) for stage in (first, last))
    differ = [f"{key} {held[key]} and {kept[key]}" for key in held if held[key] != kept[key]]
    if differ:
        yield f"settings: {', '.join(differ)}"
    if said(first.transform) != said(last.transform):
        yield f"augmentation: {_how(first)} for the {pair[0]}, {_how(last)} for the {pair[1]}"


def _optimizer(settings: Any) -> str:
    options = ", ".join(f"{key} {value}" for key, value in settings.options.items())
    return f"{settings.name} ({options})"


def _how(stage: Stage) -> str:
    return "none" if stage.transform is None else said(stage.transform)


def _changes(ours: Arm, theirs: Arm, pair: tuple[str, str]) -> Iterator[str]:
    one, other = (_names(arm) for arm in (ours, theirs))
    if one != other:
        listed = [
            ", ".join(f"{name} {dict(how)}" for name, how in each) or "nothing" for each in (one, other)
        ]
        yield f"changes: {listed[0]} to the {pair[0]}, {listed[1]} to the {pair[1]}"
    if (ours.correction is None) != (theirs.correction is None):
        name = pair[0] if ours.correction is not None else pair[1]
        yield f"correction: one is set on the {name} alone"


def _names(arm: Arm) -> list[tuple[str, Mapping[str, Any]]]:
    return [(stage.name, stage.settings) for stage in arm.stages if isinstance(stage, Change)]


def _teacher(study: Study, ours: Outcome, theirs: Outcome, name: str) -> Iterator[str]:
    one, other = (_asks(study.arms[each.arm], each.stage) for each in (ours, theirs))
    if one and not other:
        yield f"compute: the {name}'s steps also ask the teacher; steps are equal, seconds are not"
    if one and study.arms[ours.arm].needs_teacher:
        yield "the teacher: there is one, so the interval leaves out the luck of its own training"


def _asks(arm: Arm, last: int | None) -> bool:
    return any(stage.asks for stage in _until(arm, last))


def _passes(study: Study, ours: Outcome, theirs: Outcome, pair: tuple[str, str]) -> Iterator[str]:
    """Networks of an arm that answer one another cost forward passes, which steps do not count."""
    both = [
        max((stage.declared.passes for stage in _until(study.arms[each.arm], each.stage)), default=0)
        for each in (ours, theirs)
    ]
    if both[0] != both[1]:
        more = pair[0] if both[0] > both[1] else pair[1]
        yield (
            f"compute: each step of the {more} also takes {abs(both[0] - both[1])} forward passes in which "
            "networks answer one another; steps are equal, seconds are not"
        )


def _until(arm: Arm, last: int | None) -> list[Stage]:
    return [stage for number, stage in arm.trainings if last is None or number <= last]
