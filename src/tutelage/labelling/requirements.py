"""What the losses of a study read of a teacher's answers, and the forms that can serve it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from tutelage.answers import Form, form_of
from tutelage.errors import RecipeError
from tutelage.labelling.settings import LabelSettings
from tutelage.studies import Study, fresh_networks
from tutelage.teachers import Teacher

__all__ = ["Wanted", "forms_for", "wanted"]


@dataclass(frozen=True)
class Wanted:
    """What the losses of a study read of a teacher's answers.

    Args:
        temperatures: at which logits are read.
        layers: whose features are read.
        dense: the losses that need all logits, by the names of their terms.
    """

    temperatures: Sequence[float]
    layers: Sequence[str]
    dense: Sequence[str]


def wanted(study: Study, teacher: Teacher, device: torch.device) -> Wanted:
    """What the losses of a study will read, found by a dry run of each stage."""
    temperatures: set[float] = set()
    layers: dict[str, None] = {}
    dense: dict[str, None] = {}
    for arm in study.arms.values():
        for _, stage in arm.asking:
            networks = {name: network.to(device) for name, network in fresh_networks(arm, 0).items()}
            scheme = stage.scheme(networks, teacher)
            source = arm.source_of(stage)
            if source is not None:
                scheme.prepare(source.batch([0]).to(device))
            for match in scheme.matches:
                if match.needs_all_classes:
                    dense[match.name] = None
                if "teacher" not in match.loss.needs:
                    continue
                layers |= dict.fromkeys(match.hints)
                if not match.hints:
                    temperatures.add(float(getattr(match.loss, "temperature", 1.0)))
    return Wanted(sorted(temperatures) or [1.0], list(layers), list(dense))


def forms_for(settings: LabelSettings, asked: Wanted) -> list[Form] | None:
    """The form that was asked for, or those to choose from; None for the whole ladder."""
    if settings.form is None and settings.budget is None:
        return [form_of("dense:float32")]
    if settings.form is None:
        kinds = ("float32", "float16", "bfloat16", "int8")
        return [form_of(f"dense:{kind}") for kind in kinds] if asked.dense else None
    form = form_of(settings.form, temperatures=asked.temperatures)
    if asked.dense and not form.text.startswith("dense"):
        raise RecipeError(
            f"{', '.join(asked.dense)} need all logits, and {form.text} keeps few of them; use "
            "--form dense:float16, or response.SoftTarget"
        )
    unserved = [each for each in asked.temperatures if not form.serves(each)]
    if unserved:
        at = ",".join(f"{each:g}" for each in asked.temperatures)
        raise RecipeError(
            f"{form.text} cannot serve temperature {', '.join(f'{each:g}' for each in unserved)}, which the "
            "recipe uses: what is left out of it has another mass at another temperature. Use topk with "
            f"tails (topk:64@{at}), or dense answers"
        )
    return [form]
