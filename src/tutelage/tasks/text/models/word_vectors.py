"""Word embeddings of a trained encoder, in fewer numbers."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from tutelage.errors import ModelError
from tutelage.tasks.text.words import WordList
from tutelage.tasks.tokenizers import check_words
from tutelage.tasks.transformers_library import optional
from tutelage.tasks.transformers_networks import from_path

__all__ = ["principal", "word_vectors"]


def word_vectors(
    path: str, *, vocabulary: int, width: int, words: WordList | None = None
) -> Float[Tensor, "vocabulary width"]:
    """The word embeddings of an encoder, along the directions in which they differ most.

    Args:
        path: a folder with `config.json` and safetensors, or a name on the hub.
        vocabulary: how many tokens there are.
        width: numbers of a token, at most those of the encoder.
        words: the tokenizer that texts are read with; the encoder must have been made for it.

    Raises:
        ModelError: the encoder was made for another tokenizer, has fewer tokens, or narrower embeddings.
        CheckpointError: weights that are missing, truncated or pickled.
        MissingExtra: Transformers is not installed.
    """
    library = optional("transformers", "embeddings of an encoder", extra="text")
    if words is not None:
        check_words(words, path)
    held = from_path(library, path, "Model").get_input_embeddings().weight.detach()
    if len(held) < vocabulary or held.shape[1] < width:
        raise ModelError(
            f"the embeddings of {path!r} are {len(held)} tokens of {held.shape[1]} numbers, and {vocabulary} "
            f"of {width} are wanted; take embedding: {min(width, held.shape[1])} or an encoder of the "
            "task's tokenizer"
        )
    return principal(held[:vocabulary], width)


def principal(vectors: Float[Tensor, "n wide"], width: int) -> Float[Tensor, "n width"]:
    """The first principal components of some vectors, as far apart as random weights of a BERT are.

    Args:
        vectors: one for each token.
        width: how many components.

    Source: principal component analysis, of the covariance in float64. Each direction points to where its
    largest number is positive; all are scaled together to the deviation 0.02.

    Example:
        >>> line = torch.tensor([[0.0, 0.0], [1.0, 2.0], [2.0, 4.0]])
        >>> principal(line, 1).flatten().sign()
        tensor([-1.,  0.,  1.])
    """
    centred = vectors.double() - vectors.double().mean(0)
    _, directions = torch.linalg.eigh(centred.T @ centred)
    kept = directions.flip(1)[:, :width]
    largest = kept.gather(0, kept.abs().argmax(0, keepdim=True))
    found = centred @ (kept * largest.sign())
    scaled: Tensor = found * (0.02 / found.std().clamp(min=1e-12))
    return scaled.to(vectors.dtype)
