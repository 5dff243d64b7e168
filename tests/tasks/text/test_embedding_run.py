"""A whole run on sentences without labels: the control by views, the verdict, the folder for others."""

from __future__ import annotations

import json

import datasets
import pytest
import torch
from transformers import AutoModel, BertConfig, BertModel

from tutelage.recipes import build
from tutelage.recipes.load import parse
from tutelage.runs.checks import check_study
from tutelage.runs.run import run
from tutelage.tasks.text.words import WordList

OF = ["cat", "dog", "owl", "fox", "bee", "cow", "hen", "ant"]
ROWS = [f"the {one} saw a {other}" for one in OF for other in OF]
SIZES = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24, "num_hidden_layers": 3}
ADAM = {"student": {"adamw": {"lr": 0.003}}}
MATCHES = [
    {"loss": "feature.CosineHint", "guided": "embedding"},
    {"loss": "relation.SimilarityPreserving", "guided": "embedding"},
]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """A recipe on a file of sentences, with a small encoder in a folder."""
    to = tmp_path_factory.mktemp("embed")
    datasets.Dataset.from_dict({"text": ROWS}).to_parquet(to / "train.parquet")
    words = WordList.learnt(ROWS, kind="words", size=300)
    words.tokenizer.save_pretrained(to)
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=len(words), **SIZES)).save_pretrained(to)
    stage = {
        "scheme": {"offline": {"matches": MATCHES}},
        "optimizers": ADAM,
        "train": {"epochs": 1, "batch_size": 16},
    }
    views = {"loss": "contrastive.ViewContrast", "guided": "embedding"}
    return {
        "task": {"text.embedding": {"data": str(to), "encoder": str(to), "validation": 12, "test": 16}},
        "teacher": {"frozen": {"model": {"sentence_encoder": {}}}},
        "student": {"model": {"sentence_encoder": {"layers": [0, 2]}}},
        "stages": [stage],
        "control": {"matches": [views], "train": {"batch_size": 8, "augment": {"twice": True}}},
        "seeds": 1,
    }


def test_a_control_by_views_needs_no_labels(recipe):
    study = build(parse(recipe), "embed")
    check_study(study, torch.device("cpu"))
    (_, stage), *_ = study.arms["control"].trainings
    (term,) = stage.declared.terms
    assert not term.labels
    assert not term.needs_teacher


@pytest.mark.slow
def test_a_run(recipe, tmp_path):
    done = run(build(parse({**recipe, "seeds": 2}), "embed"), tmp_path / "out", quiet=True, cpu=True)
    quality = {name: one["quality"] for name, one in done.results["outcomes"].items()}
    assert done.results["teacher"]["quality"]["spearman"]["mean"] == pytest.approx(1)
    assert quality["student"]["spearman"]["mean"] > 0
    assert set(quality["student"]) >= {"spearman", "pearson", "spearman_near", "spearman_random", "cosine"}
    assert done.results["verdict"]["metric"] == "spearman"
    assert done.results["verdict"]["examples"] == 16
    assert any("augment" in line or "twice" in line for line in done.results["differences"])
    left = tmp_path / "out" / "student"
    assert AutoModel.from_pretrained(left).config.num_hidden_layers == 2
    assert json.loads((left / "1_Pooling" / "config.json").read_text())["pooling_mode_mean_tokens"]
