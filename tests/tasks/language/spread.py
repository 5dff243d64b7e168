"""A language model that answers with its head learns from another; on this process, or on one of several.

python spread.py WEIGHTS TIED
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from tutelage.data import Examples, Loader
from tutelage.engine import (
    OptimizerSettings,
    Runtime,
    TrainSettings,
    fit,
    save_weights,
    seeded,
    sharded,
    whole,
)
from tutelage.losses.response import MixedTarget
from tutelage.match import Match
from tutelage.schemes import Offline
from tutelage.tasks.language.models import transformers_causal
from tutelage.teachers import Frozen


def network(seed: int, blocks: int, *, tied: bool) -> torch.nn.Module:
    """A small one, in float64."""
    with seeded(seed):
        config = {
            "model_type": "llama",
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": blocks,
            "num_attention_heads": 2,
            "tie_word_embeddings": tied,
        }
        return transformers_causal(config=config, vocabulary=50, length=8, head=True).double()


def main(out: str, tied: str) -> None:
    """Train, and write the weights as one process would."""
    runtime = Runtime(cpu=True, quiet=True)
    tokens = torch.randint(0, 50, (22, 9), generator=torch.Generator().manual_seed(0))
    inputs = {
        "input_ids": tokens[:, :-1],
        "position_ids": torch.arange(8).repeat(22, 1),
        "documents": torch.zeros(22, 8, dtype=torch.long),
    }
    student = network(1, 2, tied=tied == "tied")
    moved = sharded(student, runtime)
    teacher = Frozen(sharded(network(2, 3, tied=False), runtime))
    scheme = Offline(moved, teacher, [Match(MixedTarget(label_share=0.3, temperature=2.0))])
    settings = TrainSettings(epochs=2, clip=1.0, sharded=True)
    data = Examples(inputs, tokens[:, 1:])
    fit(
        scheme.turns(),
        scheme.modules,
        Loader(data, batch_size=8, accumulate=2, rank=runtime.rank, world=runtime.world),
        settings,
        optimizers={"student": OptimizerSettings(name="sgd", options={"lr": 1.0})},
        runtime=runtime,
    )
    student.load_state_dict(whole(moved.state_dict()))
    if runtime.is_main:
        save_weights(Path(out), student)


if __name__ == "__main__":
    main(*sys.argv[1:])
