"""Image classifiers of the Transformers library: from a folder, from the hub, or from a configuration."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from tutelage.errors import CheckpointError, MissingExtra, ModelError, TutelageWarning, UnknownName
from tutelage.tasks.transformers_networks import check_plain

__all__ = ["transformers_classifier"]


def transformers_classifier(
    *,
    path: str | None = None,
    config: Mapping[str, Any] | None = None,
    num_classes: int | None = None,
    new_head: bool = False,
    attention: str | None = None,
    distilled: bool = False,
) -> nn.Module:
    """An image classifier of Transformers: trained weights from `path`, or random ones from `config`.

    No pickle is read and no code of a checkpoint is run. Weights come as float32, whatever they were stored
    as; the network answers with an object that has `logits`.

    Args:
        path: a folder with `config.json` and safetensors, or a name on the hub.
        config: `model_type` ("vit", "convnext" …) and that type's own settings; instead of `path`.
        num_classes: how many logits there must be; None takes what `path` or `config` says.
        new_head: whether a head that does not fit `num_classes`, or is missing, may start at random.
        attention: how Transformers computes attention ("eager", "sdpa" …); "eager" alone gives attention
            matrices to losses that compare them. None leaves the choice to Transformers.
        distilled: a DeiT with a distillation token beside the class token, each with a head of its own:
            `:output.cls_logits` learns from labels, `:output.distillation_logits` from a teacher, and their
            mean answers.

    Shapes:
        [N, channels, height, width], of the sizes the configuration says -> `logits` [N, num_classes].

    Raises:
        ModelError: both or neither of `path` and `config`; another number of classes; no image classifier.
        CheckpointError: weights that are missing, truncated, incomplete or pickled.
        UnknownName: a model type or a setting that Transformers does not have.
        MissingExtra: Transformers is not installed.

    Source:
        The networks as the installed Transformers builds them.
    """
    if (path is None) == (config is None):
        raise ModelError("give either path (trained weights) or config (random ones), and not both")
    if new_head and (path is None or num_classes is None):
        raise ModelError("new_head puts a head of num_classes on the weights of path; give both of them")
    library = _transformers()
    if config is not None:
        network = _random(library, config, num_classes, distilled)
    else:
        assert path is not None
        network = _trained(library, path, num_classes, new_head, distilled)
    if attention is not None:
        _set_attention(network, attention)
    return network


def _transformers() -> Any:
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise MissingExtra("transformers", extra="transformers", purpose="transformers_classifier") from error


def _random(library: Any, config: Mapping[str, Any], num_classes: int | None, distilled: bool) -> nn.Module:
    settings = dict(config)
    model_type = settings.pop("model_type", None)
    if model_type is None:
        raise ModelError('config has no model_type; name one, e.g. {"model_type": "vit", "hidden_size": 192}')
    if model_type not in library.CONFIG_MAPPING:
        raise UnknownName("model type", str(model_type), library.CONFIG_MAPPING.keys())
    known = library.AutoConfig.for_model(model_type)
    for key in settings:
        if not hasattr(known, key):
            raise UnknownName(f"setting of {model_type}", key, known.to_dict())
    says_classes = not settings.keys().isdisjoint({"num_labels", "id2label"})
    if num_classes is not None and not says_classes:
        settings["num_labels"] = num_classes
    built = library.AutoConfig.for_model(model_type, **settings)
    if num_classes not in (None, built.num_labels):
        raise ModelError(
            f"config says {built.num_labels} classes, num_classes says {num_classes}; leave one of them out"
        )
    _require_image_classifier(library, built)
    network: nn.Module
    if distilled:
        network = _with_token(library, built)(built)
    else:
        network = library.AutoModelForImageClassification.from_config(built, trust_remote_code=False)
    return network


def _trained(library: Any, path: str, num_classes: int | None, new_head: bool, distilled: bool) -> nn.Module:
    check_plain(Path(path))
    config = _read(path, library.AutoConfig.from_pretrained, trust_remote_code=False)
    _require_image_classifier(library, config)
    differs = num_classes not in (None, config.num_labels)
    if differs and not new_head:
        raise ModelError(
            f"{path!r} answers {config.num_labels} classes; {num_classes} were expected. Take a checkpoint "
            f"with {num_classes} classes, or set new_head: true to put a fresh head on this one and train it."
        )
    if differs:
        config.num_labels = num_classes
    kind = _with_token(library, config) if distilled else library.AutoModelForImageClassification
    network, info = _read(
        path,
        kind.from_pretrained,
        config=config,
        use_safetensors=True,
        **({} if distilled else {"trust_remote_code": False}),
        dtype=torch.float32,
        ignore_mismatched_sizes=new_head,
        output_loading_info=True,
    )
    fresh = _require_complete(path, network, info, new_head)
    if new_head and not fresh:
        warnings.warn(
            f"new_head changes nothing: {path!r} has a head of {num_classes} classes, and it is kept",
            TutelageWarning,
            stacklevel=3,
        )
    result: nn.Module = network
    return result


def _with_token(library: Any, config: Any) -> Any:
    if config.model_type != "deit":
        raise ModelError(
            f"a {config.model_type} has no distillation token; expected the model type deit, or leave "
            "distilled out"
        )
    return library.DeiTForImageClassificationWithTeacher


def _set_attention(network: Any, attention: str) -> None:
    try:
        network.set_attn_implementation(attention)
    except (ImportError, KeyError, ValueError) as error:
        raise ModelError(
            f"{type(network).__name__} cannot compute attention as {attention!r}: {error}. Expected eager or "
            "sdpa, or leave attention out"
        ) from error


def _read(path: str, load: Any, **keywords: Any) -> Any:
    try:
        return load(path, **keywords)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(
            f"cannot load an image classifier from {path!r}: {error}. Expected a folder, or a name on "
            "the hub, with config.json and model.safetensors."
        ) from error


def _require_image_classifier(library: Any, config: Any) -> None:
    if type(config) not in library.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING:
        raise ModelError(
            f"Transformers has no image classifier of the type {config.model_type!r}; "
            "take one that has, such as vit, convnext, resnet or swin"
        )


def _require_complete(path: str, network: Any, info: Mapping[str, Any], new_head: bool) -> bool:
    """Whether some of the head starts at random; raises where that was not asked for."""
    fresh = sorted({*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])})
    outside_head = [key for key in fresh if key.startswith(f"{network.base_model_prefix}.")]
    blamed = outside_head if new_head else fresh
    if blamed:
        raise CheckpointError(
            f"the weights of {path!r} lack {blamed[0]!r} ({len(blamed)} in all) or have it in another shape. "
            "Take a whole checkpoint; if only the head is missing, set num_classes and new_head: true."
        )
    return bool(fresh)
