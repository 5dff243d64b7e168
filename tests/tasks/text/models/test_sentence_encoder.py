"""Encoders of sentences: pooling, what stands beside weights, files that others read."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import AutoModel, BertConfig, BertModel

from tutelage.capture import capture
from tutelage.engine import save_weights
from tutelage.errors import CheckpointError, ModelError, UnknownName
from tutelage.tasks.text.models import sentence_encoder
from tutelage.tasks.text.models.pooling import Pooling, pooling_at
from tutelage.training.pretrained import hand_over, write_pretrained

SIZES = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24, "num_hidden_layers": 4}
TINY = {"model_type": "bert", "vocab_size": 50, **SIZES}
LEGACY = {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}


def inputs(padded=0):
    tokens = torch.randint(5, 50, (2, 5), generator=torch.Generator().manual_seed(0))
    pair = tokens, torch.ones_like(tokens)
    return dict(
        zip(
            ("input_ids", "attention_mask"),
            (torch.nn.functional.pad(one, (0, padded)) for one in pair),
            strict=True,
        )
    )


def embeddings_of(network, given):
    with torch.no_grad():
        return capture(network.eval(), given, ["embedding"])


def described(folder, *kinds, pooling=LEGACY):
    """A folder of weights as Sentence Transformers describes it."""
    torch.manual_seed(0)
    BertModel(
        BertConfig(**{key: value for key, value in TINY.items() if key != "model_type"})
    ).save_pretrained(folder)
    paths = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize", "Dense": "2_Dense"}
    modules = [{"idx": n, "path": paths[kind], "type": f"of.{kind}"} for n, kind in enumerate(kinds)]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return str(folder)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_padding_changes_no_embedding(pooling):
    network = sentence_encoder(config=TINY, pooling=pooling, normalise=True)
    plain, filled = (embeddings_of(network, inputs(padded)) for padded in (0, 4))
    torch.testing.assert_close(plain.logits, filled.logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(plain.logits.norm(dim=-1), torch.ones(2))
    assert torch.equal(plain.logits, plain.features["embedding"])


def test_what_is_pooled():
    states, mask = torch.randn(2, 3, 4), torch.tensor([[1, 1, 0], [1, 1, 1]])
    found = Pooling()(states, mask)
    torch.testing.assert_close(found, torch.stack([states[0, :2].mean(0), states[1].mean(0)]))
    assert torch.equal(Pooling("cls")(states, mask), states[:, 0])
    assert bool(Pooling()(states, torch.zeros_like(mask)).isfinite().all())


def test_the_pooling_beside_the_weights_is_followed(tmp_path):
    path = described(tmp_path, "Transformer", "Pooling", "Normalize")
    assert pooling_at(path) == ("cls", True)
    assert repr(sentence_encoder(path=path).embedding) == "Pooling('cls', normalise=True)"
    assert repr(sentence_encoder(encoder=path, pooling="mean").embedding) == "Pooling('mean', normalise=True)"
    (tmp_path / "1_Pooling" / "config.json").write_text('{"pooling_mode": "mean"}')  # since version 5
    assert pooling_at(path) == ("mean", True)


@pytest.mark.parametrize(
    ("kinds", "pooling", "says"),
    [
        (("Transformer", "Pooling", "Dense"), LEGACY, "made of Transformer, Pooling, Dense"),
        (("Transformer", "Pooling"), {"pooling_mode_max_tokens": True}, "pools by max"),
        (("Transformer", "Pooling"), {**LEGACY, "pooling_mode_mean_tokens": True}, "mean and cls"),
        (("Transformer", "Pooling"), {}, "nothing that is said"),
    ],
)
def test_another_pooling_is_refused(kinds, pooling, says, tmp_path):
    path = described(tmp_path, *kinds, pooling=pooling)
    with pytest.raises(CheckpointError, match=says):
        sentence_encoder(path=path)


def test_a_pooling_outside_of_the_folder_is_refused(tmp_path):
    path = described(tmp_path, "Transformer", "Pooling")
    modules = json.loads((tmp_path / "modules.json").read_text())
    modules[1]["path"] = "../1_Pooling"
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(CheckpointError, match="out of its folder"):
        sentence_encoder(path=path)


def test_a_student_is_read_by_transformers_and_described_for_sentence_transformers(tmp_path):
    network = sentence_encoder(config=TINY, layers=[0, 3], normalise=True, length=32)
    save_weights(tmp_path / "student.safetensors", network)
    names = write_pretrained(network, tmp_path)
    hand_over(tmp_path, names)
    again = AutoModel.from_pretrained(tmp_path / "student").eval()
    with torch.no_grad():
        hidden = again(**inputs()).last_hidden_state
    torch.testing.assert_close(
        Pooling(normalise=True)(hidden), embeddings_of(network, inputs()).logits, rtol=1e-4, atol=1e-5
    )
    assert pooling_at(str(tmp_path / "student")) == ("mean", True)
    held = {name: json.loads((tmp_path / "student" / name).read_text()) for name in network.files_beside}
    assert held["1_Pooling/config.json"]["word_embedding_dimension"] == 16
    assert held["sentence_bert_config.json"]["max_seq_length"] == 32
    assert [one["type"].rpartition(".")[2] for one in held["modules.json"]] == [
        "Transformer",
        "Pooling",
        "Normalize",
    ]
    whole = sentence_encoder(path=str(tmp_path / "student"))
    torch.testing.assert_close(
        embeddings_of(whole, inputs()).logits, embeddings_of(network, inputs()).logits, rtol=1e-4, atol=1e-5
    )


def test_what_is_refused():
    with pytest.raises(ModelError, match="give path"):
        sentence_encoder()
    with pytest.raises(ModelError, match="not both"):
        sentence_encoder(path="x", config=TINY)
    with pytest.raises(UnknownName, match="pooling"):
        sentence_encoder(config=TINY, pooling="max")
