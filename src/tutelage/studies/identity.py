"""What a run is made of beside its recipe, so that a run that goes on is the one that began."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from tutelage.data import Source
from tutelage.studies.study import Study, fresh_networks
from tutelage.teachers import Teacher

__all__ = ["identity_of"]

_ASKED = 64  # examples of a teacher that cannot be looked into


def identity_of(study: Study) -> dict[str, str]:
    """Hashes of the data, of the networks as the first seed draws them, and of a teacher that comes ready.

    A teacher that is no network (a forest, a function) is known by its answers to some examples.

    Args:
        study: what is run.
    """
    problem = study.problem
    found = {"train": study.first.source.fingerprint(), "validation": problem.validation.fingerprint()}
    if problem.test is not None:
        found["test"] = problem.test.fingerprint()
    for name, network in fresh_networks(study.first, study.seeds[0]).items():
        found[name] = _hash(network)
    if study.asks and not study.plan.arms:
        teacher = study.plan.finish([])
        if any(True for _ in teacher.parameters()):
            found["teacher"] = _hash(teacher)
        elif not (teacher.moves or teacher.reads_labels or teacher.heeds):
            found["teacher"] = _hash_of_answers(teacher, problem.validation)
    return found


def _hash_of_answers(teacher: Teacher, source: Source) -> str:
    """By what it says, rounded so that another machine's last digits are the same."""
    with torch.no_grad():
        answer = teacher(source.batch(range(min(len(source), _ASKED))))
    found = answer.logits if answer.sparse is None else answer.sparse.scores
    if found is None:
        return type(teacher).__qualname__
    rounded = (found.detach().float().cpu().clamp(-1e4, 1e4) * 1e3).round().to(torch.int64)
    return hashlib.sha256(rounded.contiguous().numpy().tobytes()).hexdigest()


def _hash(module: nn.Module) -> str:
    digest = hashlib.sha256(repr(module).encode())
    for tensor in _tensors(module):
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _tensors(module: nn.Module) -> Iterable[Tensor]:
    return (value for value in module.state_dict().values() if isinstance(value, Tensor) and value.numel())
