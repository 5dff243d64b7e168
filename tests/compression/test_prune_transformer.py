"""Decoders cut to other sizes: the right parts go, the configuration says so, and Transformers reads it."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tutelage.capture import capture
from tutelage.compression import Calibration, PruneTransformer
from tutelage.compression.decoder import Decoder, Sizes
from tutelage.errors import ModelError, UnknownName
from tutelage.tasks.language.models import transformers_causal
from tutelage.training.pretrained import write_pretrained
from tutelage.types import Batch

transformers = pytest.importorskip(
    "transformers", reason="Transformers is not installed: pip install 'tutelage[language]'"
)

LLAMA = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2}
LLAMA |= {"intermediate_size": 40, "initializer_range": 0.3}
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama", **LLAMA, "tie_word_embeddings": True},
    "mistral": {"model_type": "mistral", **LLAMA},
    "qwen2": {"model_type": "qwen2", **LLAMA},
    "qwen3": {"model_type": "qwen3", **LLAMA, "head_dim": 6},
    "gpt2": {"model_type": "gpt2", "n_embd": 32, "n_layer": 4, "n_head": 4, "initializer_range": 0.3},
}
TOKENS = torch.randint(3, 60, (12, 9), generator=torch.Generator().manual_seed(0))
LABELS = TOKENS.roll(-1, 1)
CUTS: list[dict[str, Any]] = [
    {"hidden": 20, "heads": 2, "mlp": 24},
    {"layers": 2},
    {"layers": 3, "blocks": "loss", "hidden": 24},
    {"parameters": 0.5},
]


def network(kind: str = "llama", **settings: Any) -> nn.Module:
    torch.manual_seed(0)
    return transformers_causal(config=CONFIGS[kind], vocabulary=64, **settings).eval()


def calibration(*, labelled: bool = True) -> Calibration:
    def batches() -> list[Batch]:
        return [
            Batch({"input_ids": TOKENS}, torch.arange(12), LABELS, torch.ones_like(TOKENS, dtype=torch.bool))
        ]

    def loss(net: nn.Module, batch: Batch) -> Tensor:
        return nn.functional.cross_entropy(net(**batch.inputs).logits.flatten(0, 1), batch.labels.flatten())

    return Calibration(batches, lambda net, batch: capture(net, batch.inputs, ()), loss if labelled else None)


def count(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


@pytest.mark.parametrize(
    ("kind", "settings"),
    [("llama", CUTS[2]), ("mistral", CUTS[0]), ("qwen2", CUTS[3]), ("qwen3", CUTS[0])],
    ids=str,
)
def test_transformers_reads_what_is_left(kind, settings, tmp_path):
    net = network(kind)
    said = PruneTransformer(**settings).change(net, calibration()).done
    assert Decoder(net).sizes == Sizes(**said["sizes"])
    assert said["parameters"]["after"] == count(net)
    assert said["parameters"]["before"] == count(network(kind))
    write_pretrained(net, tmp_path)
    read = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    torch.testing.assert_close(read(TOKENS).logits, net(TOKENS).logits, rtol=0, atol=0)


def test_gpt2_is_cut_in_depth_and_in_its_mlps(tmp_path):
    net = network("gpt2")
    said = PruneTransformer(layers=2, mlp=48).change(net, calibration()).done
    assert said["parameters"]["after"] == count(net)
    write_pretrained(net, tmp_path)
    read = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    torch.testing.assert_close(read(TOKENS).logits, net(TOKENS).logits, rtol=0, atol=0)
    with pytest.raises(ModelError, match="'gpt2' layers and mlp alone can be cut"):
        PruneTransformer(hidden=16).change(network("gpt2"), calibration())


@pytest.mark.parametrize("settings", CUTS, ids=str)
def test_it_is_the_same_twice_and_replayed_from_json(settings):
    one, other, anew = network(), network(), network()
    done = PruneTransformer(**settings).change(one, calibration()).done
    assert PruneTransformer(**settings).change(other, calibration()).done == done
    torch.manual_seed(1)
    for parameter in anew.parameters():
        nn.init.normal_(parameter.data)
    PruneTransformer.__new__(PruneTransformer).replay(anew, json.loads(json.dumps(done)))
    anew.load_state_dict(one.state_dict())
    assert torch.equal(anew(TOKENS).logits, one(TOKENS).logits)


def test_parts_that_answer_nothing_go_first_and_nothing_changes():
    net = network()
    layers = net.model.layers
    with torch.no_grad():
        for layer in layers:
            layer.mlp.up_proj.weight[::2] = 0  # these units answer 0
            layer.self_attn.v_proj.weight[:8] = 0  # and so does the first group
        for part in (layers[1].self_attn.o_proj, layers[1].mlp.down_proj):
            part.weight.zero_()  # the block passes all on
    whole = net(TOKENS).logits
    said = PruneTransformer(layers=3, heads=2, mlp=20).change(net, calibration()).done
    assert said["layers"] == [0, 2, 3]
    assert said["groups"] == [[1]] * 3
    assert said["mlp"] == [list(range(1, 40, 2))] * 3
    torch.testing.assert_close(net(TOKENS).logits, whole)


def test_channels_go_by_what_the_norms_answer():
    net = network()
    norms = [
        norm for layer in net.model.layers for norm in (layer.input_layernorm, layer.post_attention_layernorm)
    ]
    with torch.no_grad():
        for norm in (*norms, net.model.norm):
            norm.weight[8:] = 1e-3
    assert PruneTransformer(hidden=8).change(net, calibration()).done["hidden"] == list(range(8))
    assert net.lm_head.weight is net.model.embed_tokens.weight


def test_a_budget_is_met_and_settled_sizes_stay():
    net = network()
    said = PruneTransformer(parameters=6000, hidden=32).change(net, calibration()).done
    assert count(net) <= 6000
    assert said["sizes"]["hidden"] == 32
    losses = [one["loss"] for one in said["tried"]]
    chosen = next(one for one in said["tried"] if one["sizes"] == said["sizes"])
    assert chosen["loss"] == min(losses)
    unlabelled = PruneTransformer(parameters=0.5).change(network(), calibration(labelled=False)).done
    lost = [one["lost"] for one in unlabelled["tried"]]
    assert unlabelled["tried"][lost.index(min(lost))]["sizes"] == unlabelled["sizes"]


def test_networks_that_answer_with_their_head_are_cut_too():
    net = network(head=True)
    other = network()
    PruneTransformer(hidden=20, mlp=24).change(net, calibration(labelled=False))
    PruneTransformer(hidden=20, mlp=24).change(other, calibration())
    torch.testing.assert_close(net(TOKENS).head.whole(), other(TOKENS).logits)


def test_what_is_left_can_be_trained_and_copies_stay():
    net = network().train()
    net.model.layers[0].mlp.requires_grad_(False)
    twin = copy.deepcopy(net)
    PruneTransformer(hidden=20, layers=3).change(net, calibration())
    assert net.training
    assert twin.config.hidden_size == 32
    assert not any(parameter.requires_grad for parameter in net.model.layers[0].mlp.parameters())
    net(TOKENS).logits.square().mean().backward()
    assert net.model.norm.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"heads": 3}, "2 heads each share their keys and values.*give a multiple of 2, up to 4"),
        ({"hidden": 33}, "hidden: 33 came, and the network has 32; give at most that many"),
        ({"hidden": 21}, r"heads: 4 came.*only where the heads divide the hidden width; give hidden: 20"),
        ({"layers": 4}, "found nothing to take out"),
        ({"parameters": 10}, "the smallest shape that is looked at has"),
    ],
)
def test_sizes_that_cannot_be_had_are_refused(settings, said):
    net = network()
    before = {name: value.shape for name, value in net.state_dict().items()}
    with pytest.raises(ModelError, match=said):
        PruneTransformer(**settings).change(net, calibration())
    assert before == {name: value.shape for name, value in net.state_dict().items()}


def test_what_cannot_be_pruned_so_is_refused():
    with pytest.raises(
        ModelError, match="of the types llama, mistral, qwen2, qwen3, gpt2, and Linear is none"
    ):
        PruneTransformer(layers=1).change(nn.Linear(2, 2), calibration())
    with pytest.raises(ModelError, match="looks at examples, and was given none"):
        PruneTransformer(layers=1).change(network(), None)
    with pytest.raises(ModelError, match="`blocks: loss` needs a loss"):
        PruneTransformer(layers=1, blocks="loss").change(network(), calibration(labelled=False))
    net = network()
    nn.init.constant_(net.model.norm.weight, float("nan"))
    with pytest.raises(ModelError, match="NaN or infinite"):
        PruneTransformer(layers=1).change(net, calibration())


@pytest.mark.parametrize(
    "settings",
    [{}, {"layers": 0}, {"mlp": 2.5}, {"parameters": 1}, {"parameters": -1}, {"layers": 1, "examples": 0}],
)
def test_settings_that_mean_nothing_are_refused(settings):
    with pytest.raises(ValueError, match=r"came as|was not told what to cut to"):
        PruneTransformer(**settings)
    with pytest.raises(UnknownName, match="score of blocks"):
        PruneTransformer(layers=1, blocks="cos")
