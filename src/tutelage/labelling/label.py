"""Ask a teacher about data once, and keep the answers, in one call."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.answers import ABOUT, Place, read_bytes
from tutelage.data.batches import tensors_in
from tutelage.engine import Runtime, StopRequest
from tutelage.errors import ModelError
from tutelage.labelling.finish import finish
from tutelage.labelling.prepare import prepare, refuse_run, working_at
from tutelage.labelling.settings import LabelSettings
from tutelage.modes import returned_as_it_was
from tutelage.runs.arguments import on_cpu
from tutelage.runs.study_of import Wanted, networks_of, study_of
from tutelage.studies import Study
from tutelage.teachers import Stored

__all__ = ["label"]


def label(
    teacher: Any,
    train: Any,
    validation: Any = None,
    *,
    test: Any = None,
    out: str | Path,
    student: nn.Module | Callable[[], nn.Module] | None = None,
    matches: Any = None,
    temperature: float | None = None,
    form: str | None = None,
    budget: float | str | None = None,
    layers: tuple[str, ...] | list[str] = (),
    precision: str = "float32",
    compress: bool = False,
    device: str | None = None,
    quiet: bool = False,
) -> Stored:
    """Ask a teacher about every example, once, and keep the answers for every `distill` that follows.

    The same call goes on where a stopped one was, and reads what is finished. Under torchrun the processes
    share the work.

    Args:
        teacher: as `tutelage.distill` takes it.
        train, validation, test: the data, as `distill` will be given them.
        out: the folder of the answers, or its URL.
        student: what will be taught, where it reads the data as another type than they have.
        matches: the terms that will be minimised, where these are not the usual ones: what they look at is
            kept.
        temperature: of the soft targets, by which the error of a form is stated.
        form: how logits are kept: "dense:float32", "dense:float16", "topk:64" …; see the guide to stored
            answers.
        budget: what all answers may take, in bytes or as "2GB"; it chooses the form.
        layers: layers of the teacher to keep too.
        precision: of the teacher's forward passes, "float32" or "bfloat16".
        compress: pack the files.
        device: "cpu", though there is an accelerator.
        quiet: show no progress.

    Returns:
        the answers, as the teacher of `distill`.

    Raises:
        AnswersError: answers of another teacher or other data lie there.
        DataError, ModelError, RecipeError: data, teacher or settings that cannot be.

    Example:
        >>> answers = label(teacher, train, validation, out="answers")  # doctest: +SKIP
        >>> run = distill(answers, student, train, validation)  # doctest: +SKIP
    """
    settings = LabelSettings(
        form=form,
        budget=read_bytes(budget) if isinstance(budget, str) else budget,
        layers=tuple(layers),
        precision=precision,
        compressed=compress,
    )
    if isinstance(teacher, Stored):
        raise ModelError("the teacher came as stored answers; give the teacher that answered")
    anyone = _Anyone()
    wanted = Wanted.of(
        teacher=teacher,
        student=anyone.build if student is None else student,
        train=train,
        validation=validation,
        test=test,
        matches=matches,
        temperature=temperature,
        control=False,
        epochs=1,
    )
    with returned_as_it_was(*networks_of(teacher)), StopRequest() as stop, ExitStack() as held:
        study = study_of(wanted)
        anyone.width = _width(study)
        runtime = Runtime(cpu=on_cpu(device), quiet=quiet, stop=stop)
        refuse_run(Place(out))
        held.enter_context(working_at(Place(out), runtime, doing="a labelling"))
        stated = prepare(study, str(out), settings, runtime)
        work = stated.labelling
        left = runtime.share(bool(work.missing()) or not work.place.exists(ABOUT))
        work.run()
        runtime.wait()
        if runtime.is_main and left:
            finish(stated)
        runtime.wait()
    return Stored(str(out))


@dataclass
class _Anyone:
    """Who will be taught, where nobody was named: as wide as the teacher, once that was asked."""

    width: int = 2

    def build(self) -> nn.Module:
        """A network that answers zeros."""
        return _Zeros(self.width)


class _Zeros(nn.Module):
    """Reads everything but float64, which networks of float32 do not."""

    of_any_width = True

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        tensors = tensors_in((args, kwargs))
        if any(tensor.dtype == torch.float64 for tensor in tensors):
            raise TypeError("float64 came")
        return torch.zeros(len(next(iter(tensors))), self.width)


def _width(study: Study) -> int:
    """The width of the teacher's answers."""
    teacher = study.plan.finish([])
    with torch.no_grad():
        answer = teacher(study.problem.train.batch([0]))
    logits = answer.sparse if answer.logits is None else answer.logits
    return 1 if logits is None else int(logits.shape[-1])
