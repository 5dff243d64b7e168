"""A language model from a recipe to Transformers."""

from __future__ import annotations

import pytest
import torch
import yaml
from safetensors.torch import load_file

from tutelage.export import export
from tutelage.recipes import build, load
from tutelage.runs import run

transformers = pytest.importorskip("transformers")

pytestmark = pytest.mark.filterwarnings("ignore:The teacher is at chance")
TINY = {"model_type": "llama", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
TINY |= {"num_key_value_heads": 2, "intermediate_size": 24, "tie_word_embeddings": True}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("language")
    words = ("the owl", "a cat", "one dog", "that elk")
    lines = [f"{one} saw {other}, and {other} ran from {one}" for one in words for other in words]
    (folder / "train.txt").write_text("\n\n".join(lines))
    (folder / "test.txt").write_text("\n\n".join(lines[::3]))
    model = f"{{transformers_causal: {{head: true, config: {TINY}}}}}"
    changes = [
        f"task.data={folder}",
        "task.documents=paragraphs",
        "task.tokenizer.bpe=300",
        "task.length=16",
        "task.validation=4",
        f"teacher.frozen.model={model}",
        "teacher.frozen.train.epochs=1",
        f"student.model={model}",
        "stages.0.train.epochs=1",
    ]
    study = build(load("language/wikitext_tiny", changes=changes), "language", seeds=1)
    held = run(study, folder / "run", quiet=True)
    assert held is not None
    return held


def test_transformers_reads_the_student_and_its_words(done):
    network = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.from_pretrained(done.out))
    network.load_state_dict(load_file(done.out / "student.safetensors"))
    words = transformers.AutoTokenizer.from_pretrained(done.out / "tokenizer")
    inputs = words("the owl saw", return_tensors="pt")
    assert len(words) == network.config.vocab_size
    with torch.no_grad():
        ours = done.student(inputs["input_ids"]).head.whole()
        torch.testing.assert_close(network.eval()(inputs["input_ids"]).logits, ours)
    assert network.generate(**inputs, max_new_tokens=4, do_sample=False).shape[1] > 4


@pytest.mark.parametrize("where", [".", "student", "outcomes/control"])
def test_a_folder_loads_by_one_line_and_ends_where_it_should(done, where):
    folder = done.out / where
    network = transformers.AutoModelForCausalLM.from_pretrained(folder)
    words = transformers.AutoTokenizer.from_pretrained(folder)
    assert network.config.eos_token_id == network.generation_config.eos_token_id == words.eos_token_id
    assert "lm_head.weight" not in load_file(folder / "model.safetensors")  # tied, and written once
    if where != "outcomes/control":
        tokens = words("the owl saw", return_tensors="pt")["input_ids"]
        with torch.no_grad():
            torch.testing.assert_close(network(tokens).logits, done.student(tokens).head.whole())


def test_the_recipe_that_is_kept_has_the_seeds_that_were_run(done):
    assert yaml.safe_load((done.out / "recipe.yaml").read_text())["seeds"] == 1


@pytest.mark.slow
def test_a_student_with_its_head_apart_is_exported(done, tmp_path):
    batch = {
        "input_ids": torch.randint(300 // 4, (2, 16)),
        "position_ids": torch.arange(16).expand(2, -1).contiguous(),
        "documents": torch.zeros(2, 16, dtype=torch.int64),
    }
    found = export(done.student, batch, tmp_path / "student.pt2", format="torch_export")
    logits = torch.export.load(found["path"]).module()(**batch)
    torch.testing.assert_close(logits, done.student(**batch).head.whole())
