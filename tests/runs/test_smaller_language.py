"""Runs whose students are cut out of a language model, or learn by an adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import tutelage as tl
from tutelage.recipes import build
from tutelage.recipes.load import parse
from tutelage.runs import run

transformers = pytest.importorskip("transformers")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:The teacher is at chance")]

TINY = {"model_type": "llama", "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
TINY |= {"num_key_value_heads": 2, "intermediate_size": 24, "tie_word_embeddings": True}
TEACH = """
scheme: {offline: {matches: [{loss: response.MixedTarget, temperature: 1.0, label_share: 0.5}]}}
optimizers: {student: {adamw: {lr: 0.01}}}
train: {steps: 4, batch_size: 4}
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """Text, and a network with its tokenizer."""
    from tutelage.tasks.language.vocabulary import Vocabulary

    folder = tmp_path_factory.mktemp("base")
    words = ("the owl", "a cat", "one dog", "that elk")
    lines = [f"{one} saw {other}, and {other} ran from {one}" for one in words for other in words]
    (folder / "train.txt").write_text("\n\n".join(lines))
    (folder / "test.txt").write_text("\n\n".join(lines[::3]))
    tokenizer = Vocabulary.learnt(lines, size=300).tokenizer
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(**TINY, vocab_size=len(tokenizer))
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def finished(base: Path, out: Path, teacher: Any, student: dict[str, Any], stages: list[Any]) -> Any:
    data = {
        "train": str(base / "train.txt"),
        "validation": str(base / "test.txt"),
        "test": str(base / "test.txt"),
    }
    task = {"data": data, "documents": "paragraphs", "tokenizer": str(base), "length": 16}
    recipe = {
        "task": {"language.modelling": task},
        "teacher": teacher,
        "student": {"model": {"transformers_causal": {"path": str(base), **student}}},
        "stages": stages,
        "placebo": False,
    }
    held = run(build(parse(recipe), "smaller", seeds=1), out, quiet=True)
    assert held is not None
    return held


def logits(network: Any) -> torch.Tensor:
    tokens = torch.arange(3, 12).unsqueeze(0)
    with torch.no_grad():
        answer = network.eval()(tokens)
        return answer.logits if getattr(answer, "head", None) is None else answer.head.whole()


@pytest.mark.parametrize("where", [".", "outcomes/control"])
def test_a_pruned_student_is_read_by_transformers_and_by_us(base, tmp_path, where):
    teacher = {"frozen": {"model": {"transformers_causal": {"path": str(base), "head": True}}}}
    sizes = {"layers": 1, "hidden": 12, "heads": 1, "mlp": 16}
    stages = [{"prune_transformer": sizes}, yaml.safe_load(TEACH)]
    done = finished(base, tmp_path / "run", teacher, {"head": True}, stages)
    read = transformers.AutoModelForCausalLM.from_pretrained(done.out / where)
    assert (read.config.hidden_size, read.config.num_hidden_layers) == (12, 1)
    if where == ".":
        torch.testing.assert_close(logits(read), logits(done.student))
        torch.testing.assert_close(logits(tl.load(done.out)), logits(done.student))


@pytest.mark.parametrize("merged", [False, True])
def test_a_student_with_an_adapter_is_taught_by_itself_without(base, tmp_path, merged):
    pytest.importorskip("peft", reason="PEFT is not installed: pip install 'tutelage[peft]'")
    stages = [yaml.safe_load(TEACH), *([{"merge_adapter": {}}] if merged else [])]
    done = finished(base, tmp_path / "run", {"without_adapter": {}}, {"lora": {"r": 2}}, stages)
    names = {file.name for file in (done.out / "student").iterdir()}
    assert ("adapter_model.safetensors" in names) is not merged
    assert ("model.safetensors" in names) is merged
    read = transformers.AutoModelForCausalLM.from_pretrained(done.out / "student")
    torch.testing.assert_close(logits(read), logits(done.student))
    torch.testing.assert_close(logits(tl.load(done.out)), logits(done.student))
    assert not torch.allclose(logits(read), logits(transformers.AutoModelForCausalLM.from_pretrained(base)))
