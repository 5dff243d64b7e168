"""Encoders and decoders of the Transformers library: from a folder, the hub, or a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from tutelage.errors import ModelError
from tutelage.tasks.text.words import WordList
from tutelage.tasks.tokenizers import check_words
from tutelage.tasks.transformers_library import optional
from tutelage.tasks.transformers_networks import check_length, check_size, from_config, from_path, read_config

__all__ = ["transformers_seq2seq"]


class _Translating(nn.Module):
    """What is added to a network's class: it translates where no `decoder_input_ids` are given."""

    translates = True
    begin: int
    end: int
    longest: int

    def forward(
        self,
        input_ids: Int[Tensor, "n length"] | None = None,
        attention_mask: Int[Tensor, "n length"] | None = None,
        decoder_input_ids: Int[Tensor, "n written"] | None = None,
        **rest: Any,
    ) -> Any:
        """The network's own answer about given translations; or the logits of its own ones."""
        if decoder_input_ids is not None or rest or input_ids is None:
            rest.setdefault("use_cache", False)
            return super().forward(
                input_ids=input_ids,
                attention_mask=attention_mask,
                decoder_input_ids=decoder_input_ids,
                **rest,
            )
        return {"logits": self._translate(input_ids, attention_mask)}

    def _translate(self, tokens: Tensor, there: Tensor | None) -> Tensor:
        """The likeliest token each time, until every text is ended or as long as it may be."""
        encoder: Any = self.get_encoder()  # type: ignore[operator]
        read = encoder(input_ids=tokens, attention_mask=there)
        last = torch.full((len(tokens), 1), self.begin, device=tokens.device)
        ended = torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device)
        found: list[Tensor] = []
        seen: Any = None
        while len(found) < self.longest and not bool(ended.all()):
            answer = super().forward(
                encoder_outputs=read,
                attention_mask=there,
                decoder_input_ids=last,
                past_key_values=seen,
                use_cache=True,
            )
            seen = answer.past_key_values
            found.append(answer.logits[:, -1:])
            last = found[-1].argmax(-1)
            ended |= last[:, 0] == self.end
        return torch.cat(found, 1)


def transformers_seq2seq(
    *,
    path: str | None = None,
    config: Mapping[str, Any] | None = None,
    vocabulary: int | None = None,
    length: int = 64,
    begin: int = 0,
    end: int = 1,
    words: WordList | None = None,
) -> nn.Module:
    """An encoder and decoder of Transformers: weights from `path`, or random ones from `config`.

    No pickle is read and no code of a checkpoint is run. The network is Transformers' own, and its layers are
    guided and hint layers by its own names.

    Args:
        path: a folder with `config.json` and safetensors, or a name on the hub; `task.tokenizer` is then its
            own.
        config: `model_type` ("marian", "t5", "bart" …) and that type's own settings; instead of `path`.
        vocabulary: how many tokens there are, for a `config` without `vocab_size`; the task says it, and what
            the following are.
        length: the most positions of a text.
        begin, end: the tokens that a translation begins and ends with. A network that was trained to begin
            with another one learns this.
        words: the tokenizer that texts are read with; a network from `path` must have been made for it.

    Shapes:
        input_ids, attention_mask [N, length], decoder_input_ids [N, written] -> `logits`
        [N, written, vocabulary]. Without `decoder_input_ids` those of its own translation, see `Transformer`.

    Raises:
        ModelError: both or neither of `path` and `config`; texts that are too long; weights that were made
            for another tokenizer, or for fewer tokens; no network that reads and writes.
        CheckpointError: weights that are missing, truncated, incomplete or pickled.
        UnknownName: a model type or a setting that there is not.
        MissingExtra: Transformers is not installed.

    Source:
        The networks as the installed Transformers builds them.
    """
    if (path is None) == (config is None):
        raise ModelError("give either path (trained weights) or config (random ones), and not both")
    library = optional("transformers", "transformers_seq2seq", extra="text")
    if config is not None:
        own = {"eos_token_id": end} | ({} if words is None else {"pad_token_id": words.padding})
        built = read_config(library, {**own, **config}, vocabulary=vocabulary, length=length)
        network = from_config(library, built, "Seq2SeqLM", advice="take marian, t5 or bart")
        for said in (network.config, network.generation_config):
            said.decoder_start_token_id = begin  # for those who use the network elsewhere
    else:
        assert path is not None
        if words is not None:
            check_words(words, path)
        network = from_path(library, path, "Seq2SeqLM")
    if vocabulary is not None:
        check_size(network, vocabulary)
        network.known_classes = vocabulary
    check_length(network, length)
    kind = type(network)
    network.__class__ = type(f"Translating{kind.__name__}", (_Translating, kind), {"__module__": __name__})
    network.begin, network.end, network.longest = begin, end, length
    made: nn.Module = network
    return made
