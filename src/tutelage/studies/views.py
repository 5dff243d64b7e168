"""What a study shows its students: sources, each under its views."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from tutelage.data import Loader, Source, Views, is_steady, keys_of, view_of
from tutelage.errors import AnswersError
from tutelage.studies.study import Stage, Study, loader_seed

__all__ = ["Shown", "said", "shown"]


@dataclass(frozen=True)
class Shown:
    """A source as it is shown: all of it, under one view.

    Args:
        name: of the split.
        views: gives the batches.
        batch_size: in which it is shown.
    """

    name: str
    views: Views
    batch_size: int

    @property
    def source(self) -> Source:
        """The examples."""
        return self.views.source


def shown(study: Study) -> list[Shown]:
    """All that students of a study are shown, each once, and what results are measured on.

    Raises:
        AnswersError: a data set draws at random, so that what was shown does not come back.
    """
    found: dict[tuple[int, str, int | None], Shown] = {}
    for arm in study.arms.values():
        for number, stage in arm.asking:
            source = arm.source_of(stage)
            if source is None:
                continue
            size = -(-stage.settings.batch_size // stage.settings.accumulate)
            for view in _views(study, stage, arm.order_of(number), source):
                key = (id(source), said(stage.transform), view)
                views = Views(source, stage.transform, view or 0, keyed=True)
                found.setdefault(key, Shown("train", views, size))
    problem = study.problem
    for name, source in (("validation", problem.validation), ("test", problem.test)):
        if source is not None:
            found.setdefault((id(source), "", None), Shown(name, Views(source, None, 0, keyed=True), 500))
    for each in found.values():
        _check_repeats(each)
    return list(found.values())


def _views(study: Study, stage: Stage, number: int, source: Source) -> list[int | None]:
    """The views of a stage over all seeds; None where examples are shown as they are."""
    if stage.transform is None:
        return [None]
    if is_steady(stage.transform):
        return [view_of(0, 0)]
    length = len(Loader(source, batch_size=stage.settings.batch_size))
    epochs = -(-stage.settings.total_steps(length) // length)
    return [view_of(loader_seed(seed, number), epoch) for seed in study.seeds for epoch in range(epochs)]


def _check_repeats(each: Shown) -> None:
    """Refuse what is shown otherwise the second time."""
    if not each.source.draws:
        return
    numbers = list(range(min(8, len(each.source))))
    once, again = (keys_of(Views(each.source, None, draw)[[numbers]][0]) for draw in (0, 1))
    if not torch.equal(once, again):
        raise AnswersError(
            f"the {each.name} data are other ones each time they are read (an augmentation in the data "
            "set?), so that an answer to what was shown fits nothing later; leave it out of the data set, "
            "and name it under `augment`, whose views come back"
        )


def said(transform: object) -> str:
    """A transform in words that do not change from call to call."""
    own = type(transform).__repr__ is not object.__repr__ and not hasattr(transform, "__name__")
    return repr(transform) if own else getattr(transform, "__qualname__", type(transform).__qualname__)
