"""Encoders of the Transformers library: from a folder, the hub, or a configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from tutelage.compression.blocks import keep_blocks
from tutelage.errors import ModelError, UnknownName
from tutelage.tasks.text.models.attention import SCORES, register_scores
from tutelage.tasks.text.words import WordList
from tutelage.tasks.tokenizers import check_words
from tutelage.tasks.transformers_library import optional
from tutelage.tasks.transformers_networks import (
    check_length,
    check_size,
    from_config,
    from_path,
    read_config,
    set_attention,
)

__all__ = ["transformers_encoder"]

_ANSWERS = {
    "class": "SequenceClassification",
    "value": "SequenceClassification",
    "tags": "TokenClassification",
    "token": "MaskedLM",
}
_ATTENTION = ("sdpa", "eager", SCORES)


def transformers_encoder(
    *,
    path: str | None = None,
    config: Mapping[str, Any] | None = None,
    layers: Sequence[int] | None = None,
    every: int | None = None,
    new_head: bool = False,
    attention: str | None = None,
    num_classes: int | None = None,
    class_names: Sequence[str] = (),
    vocabulary: int | None = None,
    length: int | None = None,
    words: WordList | None = None,
    answers: str = "class",
) -> nn.Module:
    """An encoder of Transformers with the task's head: weights from `path`, or random ones from `config`.

    No pickle is read and no code of a checkpoint is run. The network is Transformers' own, and its layers are
    guided and hint layers by its own names; in a BERT `bert.embeddings` and `bert.encoder.layer.0`, hidden
    states; `bert.encoder.layer.0.attention.self.query`, `.key` and `.value`; and
    `bert.encoder.layer.0.attention.self:output.1`, attention, where `attention` shows it.

    Args:
        path: a folder with `config.json` and safetensors, or a name on the hub.
        config: `model_type` ("bert", "distilbert", "electra", "roberta" …) and that type's own settings;
            instead of `path`.
        layers: the numbers of the blocks to keep, from 0; None keeps all. Or
        every: keep every so many, from the first on.
        new_head: whether a head that is missing, or answers another number of classes, may start at random.
        attention: how attention is computed: "sdpa", which shows no matrices; "eager", which shows
            probabilities, those of the student with dropout in training; "scores", which shows what stands
            before the softmax. None takes the first where the network can.
        num_classes: how many logits there must be; the task says it, and what the following are.
        class_names: the classes, in order, for the configuration that is saved.
        vocabulary: how many tokens there are, for a `config` without `vocab_size`.
        length: the most positions of a text.
        words: the tokenizer that texts are read with; a network from `path` must have been made for it.
        answers: "class" or "value", one of each text; "tags", one at each position; "token", which token
            stands at each position.

    Shapes:
        input_ids, attention_mask, token_type_ids [N, length] -> `logits` [N, num_classes], or of positions
        [N, length, num_classes].

    Raises:
        ModelError: both or neither of `path` and `config`; texts that are too long; weights that were made
            for another tokenizer, or for fewer tokens; no encoder with such a head.
        CheckpointError: weights that are missing, truncated, incomplete or pickled.
        UnknownName: a model type, a setting or an attention that there is not.
        MissingExtra: Transformers is not installed.

    Source:
        The networks as the installed Transformers builds them.
    """
    if (path is None) == (config is None):
        raise ModelError("give either path (trained weights) or config (random ones), and not both")
    if layers is not None and every is not None:
        raise ModelError(f"layers: {list(layers)} and every: {every} came; give one of them")
    for what, came, legal in (("attention", attention or "sdpa", _ATTENTION), ("answer", answers, _ANSWERS)):
        if came not in legal:
            raise UnknownName(what, came, legal)
    library = optional("transformers", "transformers_encoder", extra="text")
    kind = _ANSWERS[answers]
    own = {} if kind == "MaskedLM" or num_classes is None else _head_of(num_classes, class_names)
    if config is not None:
        if words is not None:
            config = {"pad_token_id": words.padding, **config}
        built = read_config(library, {**own, **config}, vocabulary=vocabulary, length=length)
        network = from_config(library, built, kind, advice="take bert, distilbert, electra or roberta")
    else:
        assert path is not None
        if words is not None:
            check_words(words, path)
        network = _trained(library, path, kind, own, new_head)
    _check_classes(network, num_classes, kind)
    if vocabulary is not None:
        check_size(network, vocabulary)
        if kind == "MaskedLM":
            network.known_classes = vocabulary
    set_attention(network, register_scores(library) if attention == SCORES else attention)
    check_length(network, length)
    if every is not None:
        layers = _each(network, every)
    if layers is not None:
        keep_blocks(network, layers)
    made: nn.Module = network
    return made


def _head_of(num_classes: int, class_names: Sequence[str]) -> dict[str, Any]:
    """What a configuration says of its head."""
    if len(class_names) != num_classes:
        return {"num_labels": num_classes}
    names = dict(enumerate(class_names))
    return {"id2label": names, "label2id": {name: number for number, name in names.items()}}


def _trained(library: Any, path: str, kind: str, own: Mapping[str, Any], new_head: bool) -> Any:
    """Weights of a folder or the hub, with a fresh head where that was asked for."""
    if not new_head:
        return from_path(library, path, kind)
    return from_path(library, path, kind, new_head=True, ignore_mismatched_sizes=True, **own)


def _check_classes(network: Any, num_classes: int | None, kind: str) -> None:
    if kind != "MaskedLM" and num_classes not in (None, network.config.num_labels):
        raise ModelError(
            f"{type(network).__name__} answers {network.config.num_labels} classes, and {num_classes} were "
            "expected; take a checkpoint with as many, or set new_head: true to put a fresh head on this one "
            "and train it"
        )


def _each(network: Any, every: int) -> list[int]:
    count = int(network.config.get_text_config().num_hidden_layers)
    if not 1 <= every <= count:
        raise ModelError(f"every: {every}; expected 1 to {count}, the number of blocks")
    return list(range(0, count, every))
