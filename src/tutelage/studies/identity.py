"""What a run is made of beside its recipe, so that a run that goes on is the one that began."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from tutelage.studies.study import Study, fresh_networks

__all__ = ["identity_of"]


def identity_of(study: Study) -> dict[str, str]:
    """Hashes of the data, of the networks as the first seed draws them, and of a teacher that comes ready.

    A teacher that is no network (a forest, a function) is not looked into.

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
    return found


def _hash(module: nn.Module) -> str:
    digest = hashlib.sha256(repr(module).encode())
    for tensor in _tensors(module):
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _tensors(module: nn.Module) -> Iterable[Tensor]:
    return (value for value in module.state_dict().values() if isinstance(value, Tensor) and value.numel())
