"""An adapter on a language model: it learns alone, is switched off, written as PEFT's files, and merged."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tutelage.adapters import has_adapter, without_adapter
from tutelage.compression import MergeAdapter, PruneTransformer
from tutelage.errors import MissingExtra, ModelError, UnknownName
from tutelage.tasks.language.models import transformers_causal
from tutelage.teachers import WithoutAdapter
from tutelage.training.pretrained import hand_over, write_pretrained
from tutelage.types import Batch

transformers = pytest.importorskip(
    "transformers", reason="Transformers is not installed: pip install 'tutelage[language]'"
)

TINY = {"model_type": "llama", "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
TINY |= {"num_key_value_heads": 2, "intermediate_size": 24, "vocab_size": 64, "initializer_range": 0.3}
TOKENS = torch.randint(3, 60, (4, 9), generator=torch.Generator().manual_seed(0))
LORA: dict[str, Any] = {"r": 2, "targets": ["q_proj", "down_proj"]}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("peft", reason="PEFT is not installed: pip install 'tutelage[peft]'")
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(**TINY)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def learnt(base: Path, **settings: Any) -> nn.Module:
    """A network whose adapter has moved."""
    torch.manual_seed(1)
    net = transformers_causal(path=str(base), lora=LORA, **settings)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if "lora_B" in name:
                nn.init.normal_(parameter)
    return net


def logits(net: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return net.eval()(TOKENS).logits


def test_the_adapter_alone_learns_and_begins_at_nothing(base):
    net = transformers_causal(path=str(base), lora={"r": 2})
    assert torch.equal(logits(net), logits(transformers_causal(path=str(base))))
    own = [name for name, parameter in net.named_parameters() if parameter.requires_grad]
    assert own
    assert all(".lora_" in name for name in own)
    assert sum("lora_A" in name for name in own) == 4  # q_proj and v_proj of two blocks, as PEFT takes them


def test_switched_off_it_is_the_network_that_it_was(base):
    net = learnt(base)
    plain, said = logits(transformers_causal(path=str(base))), logits(net)
    assert not torch.allclose(said, plain)
    net.train()
    learns = [parameter.requires_grad for parameter in net.parameters()]
    teacher = WithoutAdapter().beside(net)
    answer = net(TOKENS).logits
    taught = teacher(Batch({"input_ids": TOKENS}, torch.arange(4))).logits
    torch.testing.assert_close(taught, plain)
    assert net.training
    assert learns == [parameter.requires_grad for parameter in net.parameters()]
    assert not list(teacher.parameters())
    (answer - taught).square().mean().backward()  # what was switched in between learns all the same
    assert any(parameter.grad is not None and parameter.grad.any() for parameter in net.parameters())
    torch.testing.assert_close(logits(net), said)


def test_it_is_written_as_files_of_peft(base, tmp_path):
    net = learnt(base)
    (tmp_path / "run").mkdir()
    names = write_pretrained(net, tmp_path / "run")
    assert {"adapter_config.json", "adapter_model.safetensors"} <= set(names)
    assert not {"model.safetensors", "config.json"} & set(names)
    read = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "run")
    torch.testing.assert_close(logits(read), logits(net))
    hand_over(tmp_path / "run", names)
    assert (tmp_path / "run" / "student" / "adapter_model.safetensors").is_file()


def test_merged_it_is_a_plain_network(base, tmp_path):
    net = learnt(base)
    said = logits(net)
    done = MergeAdapter().change(net).done
    assert done == {}
    assert not has_adapter(net)
    torch.testing.assert_close(logits(net), said)
    assert net.state_dict().keys() == transformers_causal(path=str(base)).state_dict().keys()
    names = write_pretrained(net, tmp_path)
    assert "model.safetensors" in names
    assert not any("adapter" in name for name in names)
    torch.testing.assert_close(logits(transformers.AutoModelForCausalLM.from_pretrained(tmp_path)), said)
    anew = MergeAdapter.__new__(MergeAdapter).replay(transformers_causal(path=str(base), lora=LORA), done)
    anew.load_state_dict(net.state_dict())
    torch.testing.assert_close(logits(anew), said)


def test_a_copy_has_an_adapter_of_its_own(base):
    net = learnt(base)
    said, twin = logits(net), copy.deepcopy(net)
    with without_adapter(twin):
        torch.testing.assert_close(logits(net), said)
    MergeAdapter().change(twin)
    assert has_adapter(net)
    torch.testing.assert_close(logits(net), said)


def test_what_does_not_go_together_is_refused(base):
    path = str(base)
    with pytest.raises(ModelError, match="name the last layer, and with head: true"):
        transformers_causal(path=path, lora={"r": 2, "targets": ["lm_head"]}, head=True)
    with pytest.raises(ModelError, match="prune a network without one"):
        PruneTransformer(layers=1).change(learnt(base))
    with pytest.raises(ModelError, match="PEFT refuses the adapter"):
        transformers_causal(path=path, lora={"r": 2, "targets": ["no_such_layer"]})


@pytest.mark.parametrize(
    ("lora", "error", "said"),
    [
        ({}, ModelError, "without a rank"),
        ({"r": 0}, ModelError, "lora.r came as 0"),
        ({"r": 2, "alpha": 0}, ModelError, "lora.alpha came as 0"),
        ({"r": 2, "dropout": 1}, ModelError, "lora.dropout came as 1"),
        ({"r": 2, "target": ["q_proj"]}, UnknownName, "setting of lora 'target'. Nearest: 'targets'"),
    ],
)
def test_settings_that_mean_nothing_are_refused(lora, error, said):
    with pytest.raises(error, match=said):
        transformers_causal(config=TINY, lora=lora)


def test_without_peft_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtra, match=r"pip install 'tutelage\[peft\]'"):
        transformers_causal(config=TINY, lora={"r": 2})


def test_a_network_without_an_adapter_is_no_student_of_it():
    with pytest.raises(ModelError, match="the student without its adapter, and Linear has none"):
        WithoutAdapter().beside(nn.Linear(2, 2))(Batch(torch.zeros(1, 2), torch.arange(1)))
    with pytest.raises(ModelError, match="stands beside none yet"):
        WithoutAdapter()(Batch(torch.zeros(1, 2), torch.arange(1)))
    with pytest.raises(ModelError, match="Linear has no adapter"):
        MergeAdapter().change(nn.Linear(2, 2))
