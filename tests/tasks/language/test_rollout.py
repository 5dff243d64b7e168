"""Rows that a tiny network goes on with: within one document, the same in any batch, as its softmax says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tutelage.errors import ModelError
from tutelage.tasks.language.models import transformers_causal
from tutelage.tasks.language.packing import Rows
from tutelage.tasks.language.rollout import Rollout, draw
from tutelage.types import UNLABELLED, Batch

END = 19
LENGTH = 12
TINY = {"model_type": "llama", "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
TINY |= {"num_key_value_heads": 2, "intermediate_size": 24, "initializer_range": 0.4}
ROLL = Rollout(END)


def network(**settings) -> nn.Module:
    torch.manual_seed(0)
    return transformers_causal(config=TINY, vocabulary=20, length=LENGTH, **settings)


def without_end(net: nn.Module) -> nn.Module:
    """The same, which never ends a text."""
    with torch.no_grad():
        net.lm_head.bias = nn.Parameter(torch.zeros(20))
        net.lm_head.bias[END] = -1e9
    return net


@pytest.fixture
def rows() -> Rows:
    """Documents of 3 to 30 tokens, each with its end."""
    drawn = np.random.default_rng(0)
    documents = [np.append(drawn.integers(0, END, size), END) for size in drawn.integers(2, 30, 40)]
    return Rows([one.astype(np.int32) for one in documents], length=LENGTH, padding=END)


def logits(net: nn.Module, batch: Batch) -> torch.Tensor:
    with torch.no_grad():
        answer = net.eval()(**batch.inputs)
    return answer.head.whole() if hasattr(answer, "head") else answer.logits


def one_document(*tokens: int) -> Batch:
    """A row that is one document."""
    ids = torch.tensor([[*tokens, *[0] * (LENGTH - len(tokens))]])
    places = torch.arange(LENGTH).unsqueeze(0)
    inputs = {"input_ids": ids, "position_ids": places, "documents": torch.zeros_like(ids)}
    return Batch(inputs, torch.tensor([3]), ids, torch.ones_like(ids, dtype=torch.bool))


def test_the_beginning_is_kept_and_the_rest_is_one_document(rows):
    batch = rows.batch(range(len(rows)))
    made = ROLL(without_end(network()), batch, seed=1, prompt=4)
    kept = ROLL.kept(batch.inputs["input_ids"], batch.inputs["documents"], 4)
    assert set(kept.tolist()) >= {
        0,
        1,
        3,
        4,
    }  # beginnings of all kinds, a row that begins with an end among them
    for row in kept.nonzero().flatten().tolist():
        few = int(kept[row])
        assert made.inputs["input_ids"][row, :few].equal(batch.inputs["input_ids"][row, :few])
        assert made.inputs["position_ids"][row].tolist() == list(range(LENGTH))
        assert made.inputs["documents"][row].tolist() == [0] * LENGTH
        assert made.mask[row].nonzero().flatten().tolist() == list(range(few - 1, LENGTH - 1))
        assert made.labels[row].tolist() == [UNLABELLED] * LENGTH
    assert made.ids.equal(batch.ids)
    assert made.keys is None


def test_a_row_without_a_beginning_keeps_its_text(rows):
    batch = rows.batch(range(len(rows)))
    made = ROLL(network(), batch, seed=1, prompt=4)
    (row,) = (ROLL.kept(batch.inputs["input_ids"], batch.inputs["documents"], 4) == 0).nonzero()[0].tolist()
    for key, value in batch.inputs.items():
        assert made.inputs[key][row].equal(value[row])
    assert made.labels[row].equal(batch.labels[row])
    assert made.mask[row].equal(batch.mask[row])


@pytest.mark.parametrize("head", [False, True])
@pytest.mark.slow
def test_ids_and_move_say_what_is_written(rows, head):
    net, numbers = network(head=head), list(range(len(rows)))
    whole = ROLL(net, rows.batch(numbers), seed=5, prompt=4)
    turned = ROLL(net, rows.batch(numbers[::-1]), seed=5, prompt=4)
    assert whole.inputs["input_ids"].equal(turned.inputs["input_ids"].flip(0))
    for number in numbers:
        alone = ROLL(net, rows.batch([number]), seed=5, prompt=4)
        for key, value in alone.inputs.items():
            assert value[0].equal(whole.inputs[key][number])
        assert alone.mask[0].equal(whole.mask[number])
    other = ROLL(net, rows.batch(numbers), seed=6, prompt=4)
    assert not other.inputs["input_ids"].equal(whole.inputs["input_ids"])


def test_rows_of_one_beginning_are_written_differently():
    net, one = network(), one_document(4, 5)
    both = Batch({key: torch.cat([value] * 2) for key, value in one.inputs.items()}, torch.tensor([3, 4]))
    made = ROLL(net, both, seed=5, prompt=2).inputs["input_ids"]
    assert not made[0].equal(made[1])
    assert made[0].equal(ROLL(net, one, seed=5, prompt=2).inputs["input_ids"][0])


def test_nothing_leaks_from_what_was_not_kept(rows):
    """Neither the rest of the first document nor those after it say anything about what is written."""
    batch = rows.batch(range(len(rows)))
    kept = ROLL.kept(batch.inputs["input_ids"], batch.inputs["documents"], 4)
    own = torch.arange(LENGTH) < kept.unsqueeze(1)
    tokens = torch.where(own, batch.inputs["input_ids"], 7)
    other = Batch(batch.inputs | {"input_ids": tokens, "documents": (~own).long()}, batch.ids)
    net = network()
    made, again = ROLL(net, batch, seed=1, prompt=4), ROLL(net, other, seed=1, prompt=4)
    some = kept > 0
    assert made.inputs["input_ids"][some].equal(again.inputs["input_ids"][some])


def test_what_is_drawn_is_drawn_from_what_the_network_says_of_the_made_row(rows):
    """Token after token with memory, and all at once with documents: the same logits, the same draws."""
    batch, net = rows.batch(range(len(rows))), network()
    made = ROLL(net, batch, seed=1, prompt=4)
    said = logits(net, made)
    kept = ROLL.kept(batch.inputs["input_ids"], batch.inputs["documents"], 4) > 0
    for place in range(1, LENGTH):
        wrote = made.mask[:, place - 1] & kept
        drawn = draw(said[:, place - 1], made.ids, seed=1, place=place)
        assert drawn[wrote].equal(made.inputs["input_ids"][wrote, place])


@pytest.mark.slow
def test_what_follows_an_end_counts_for_nothing():
    net = network()
    texts = [
        ROLL(net, one_document(*range(first, first + 3)), seed=seed, prompt=3)
        for first in range(9)
        for seed in range(9)
    ]
    ended = [made for made in texts if END in made.inputs["input_ids"][0, 3:-2].tolist()]
    assert ended
    for made in ended:
        tokens = made.inputs["input_ids"][0].tolist()
        end = tokens.index(END)
        left = LENGTH - 1 - end
        assert tokens[end:] == [END] * (left + 1)
        assert made.inputs["documents"][0].tolist() == [0] * (end + 1) + [1] * left
        assert made.inputs["position_ids"][0].tolist() == [*range(end + 1), *range(left)]
        assert made.mask[0].nonzero().flatten().tolist() == list(range(2, end))


def test_draws_follow_the_softmax():
    said = torch.tensor([2.0, 1.0, 0.0, -3.0])
    many = 200_000
    found = draw(said.expand(many, 4), torch.arange(many), seed=3, place=7).bincount(minlength=4) / many
    shares = said.softmax(-1)
    assert bool(((found - shares).abs() < 4 * (shares * (1 - shares) / many).sqrt()).all())


def test_written_tokens_follow_the_softmax():
    net = network()
    said = logits(net, one_document(4, 5))[0, 1].softmax(-1)
    many = 4000
    batch = one_document(4, 5)
    batch = Batch(
        {key: value.expand(many, -1)[:, :3] for key, value in batch.inputs.items()}, torch.arange(many)
    )
    made = ROLL(net, batch, seed=0, prompt=2).inputs["input_ids"][:, 2]
    found = made.bincount(minlength=20) / many
    assert bool(((found - said).abs() < 4 * (said / many).sqrt() + 1e-9).all())


@pytest.mark.slow
def test_a_rounding_seldom_changes_a_draw():
    torch.manual_seed(0)
    said = torch.randn(3000, 2000)
    near = said * (1 + 3e-7 * torch.randn_like(said))
    ids = torch.arange(3000)
    assert draw(said, ids, seed=0, place=1).equal(draw(near, ids, seed=0, place=1))


def test_a_network_writes_in_eval_mode_and_is_left_as_it_was(rows):
    net = transformers_causal(
        config=TINY | {"attention_dropout": 0.5}, vocabulary=20, length=LENGTH, head=True
    )
    net.train()
    net.model.layers[0].eval()
    modes, kind = [layer.training for layer in net.modules()], type(net)
    seen, state = [], torch.get_rng_state()
    hook = net.model.layers[1].register_forward_hook(lambda *_: seen.append(net.model.layers[1].training))
    first, again = (ROLL(net, rows.batch(range(4)), seed=1, prompt=4) for _ in range(2))
    hook.remove()
    assert seen
    assert not any(seen)
    assert [layer.training for layer in net.modules()] == modes
    assert type(net) is kind
    assert torch.equal(torch.get_rng_state(), state)
    assert first.inputs["input_ids"].equal(again.inputs["input_ids"])
    assert all(parameter.grad is None for parameter in net.parameters())


def test_what_cannot_be_rolled_out_is_refused(rows):
    with pytest.raises(ModelError, match="prompt: 12 tokens of rows of 12 are kept, and nothing is left"):
        ROLL(network(), rows.batch([0]), seed=1, prompt=12)
    with pytest.raises(ModelError, match="Linear has no `generate` of Transformers"):
        ROLL(nn.Linear(2, 2), rows.batch([0]), seed=1, prompt=4)
