from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tutelage.errors import ModelError, TutelageWarning, UnknownName
from tutelage.export.gguf import _paired
from tutelage.export.gguf_tokenizer import _scores, _tokens, cut_by

TOKENS = torch.arange(24).reshape(2, 12)


def llama(**settings: Any) -> Any:
    library = pytest.importorskip("transformers")
    usual = {
        "vocab_size": 300,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
    }
    torch.manual_seed(0)
    return library.LlamaForCausalLM(library.LlamaConfig(**usual | settings))


def test_rotary_pairs_lie_next_to_each_other() -> None:
    rows = np.arange(8.0)[:, None]  # two heads of four
    assert _paired(rows, 2)[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
    assert _paired(np.arange(4.0), 1).tolist() == [0, 2, 1, 3]


BYTES = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
DIGITS = {"type": "Digits", "individual_digits": True}
QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        ([BYTES], "gpt-2"),
        ([DIGITS, BYTES], "smollm"),
        ([{"type": "Split", "pattern": {"Regex": QWEN}}, BYTES | {"use_regex": False}], "qwen2"),
        ([{"type": "Split", "pattern": {"Regex": r"\w+"}}, BYTES | {"use_regex": False}], None),
        ([BYTES | {"add_prefix_space": True}], None),
        ([{"type": "Whitespace"}], None),
    ],
)
def test_how_text_is_cut_has_a_name(parts: list[dict[str, Any]], name: str | None) -> None:
    assert cut_by({"pre_tokenizer": {"type": "Sequence", "pretokenizers": parts}}) == name


def test_tokens_have_kinds_and_pieces_have_scores() -> None:
    gguf = pytest.importorskip("gguf")
    model = {"vocab": {"<unk>": 0, "<0x0A>": 1, "a": 2, "b": 3, "ab": 4}, "unk_token": "<unk>"}
    added = [{"id": 5, "content": "<s>", "special": True}, {"id": 0, "content": "<unk>", "special": True}]
    tokens, kinds = _tokens({"model": model, "added_tokens": added}, 7, gguf.TokenType, pieces=True)
    assert tokens == ["<unk>", "<0x0A>", "a", "b", "ab", "<s>", "[PAD6]"]
    names = [gguf.TokenType(kind).name for kind in kinds]
    assert names == ["UNKNOWN", "BYTE", "NORMAL", "NORMAL", "NORMAL", "CONTROL", "UNUSED"]
    assert _scores({"merges": [["a", "b"]]}, ["a", "ab"]) == [-1.0, -0.0]


def test_another_family_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    from tutelage.export import gguf

    with pytest.raises(ModelError, match=r"Linear is no LlamaForCausalLM.*safetensors"):
        gguf(nn.Linear(4, 3), torch.ones(2, 4), tmp_path / "student.gguf")
    scaled = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    with pytest.raises(ModelError, match="scales its rotary positions by 'dynamic'"):
        gguf(llama(rope_parameters=scaled), TOKENS, tmp_path / "student.gguf")
    with pytest.raises(UnknownName, match="Nearest: 'q8_0'"):
        gguf(llama(), TOKENS, tmp_path / "student.gguf", weights="q8")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["f16", "q8_0"])
@pytest.mark.parametrize("tied", [False, True])
def test_what_llama_cpp_reads_is_the_network(weights: Any, tied: bool, tmp_path: Path) -> None:
    package = pytest.importorskip("gguf")
    from tutelage.export import gguf

    network = llama(tie_word_embeddings=tied)
    said = gguf(network, TOKENS, tmp_path / "student.gguf", weights=weights)
    assert (said["weights"], said["tokenizer"], said["examples"]) == (weights, False, 2)
    assert 0 < said["max_difference"] < (1e-2 if weights == "f16" else 1e-1)
    read = package.GGUFReader(tmp_path / "student.gguf")
    tensors = {held.name: held for held in read.tensors}
    assert ("output.weight" in tensors) is not tied
    assert {held.tensor_type.name for held in read.tensors} == {"F32", weights.upper()}
    kept = tensors["blk.1.ffn_up.weight"]
    wanted = network.state_dict()["model.layers.1.mlp.up_proj.weight"].numpy()
    unpacked = package.quants.dequantize(kept.data, kept.tensor_type)
    again = package.quants.dequantize(package.quants.quantize(wanted, kept.tensor_type), kept.tensor_type)
    assert np.array_equal(unpacked, again)
    fields = read.fields
    assert fields["llama.attention.head_count_kv"].contents() == 2
    assert fields["llama.rope.freq_base"].contents() == 10000.0


@pytest.mark.slow
def test_a_tokenizer_of_byte_pairs_comes_back(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    library = pytest.importorskip("transformers")
    from tutelage.export import gguf
    from tutelage.tasks.language.vocabulary import Vocabulary

    words = Vocabulary.learnt(["the quick brown fox jumps over the lazy dog, 123 times"] * 9, size=290)
    words.tokenizer.save_pretrained(tmp_path / "tokenizer")
    said = gguf(llama(), TOKENS, tmp_path / "student.gguf", tokenizer=tmp_path / "tokenizer")
    assert said["tokenizer"]
    read = library.AutoTokenizer.from_pretrained(tmp_path, gguf_file="student.gguf")
    for text in ("the fox's 123 times", "wörld  two\n", "Dog"):
        assert read(text)["input_ids"] == words.tokenizer(text)["input_ids"]
    assert read.eos_token_id == words.end


def test_a_tokenizer_of_another_kind_is_left_out(tmp_path: Path) -> None:
    from tutelage.export.gguf_tokenizer import add_tokenizer

    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"type": "WordPiece", "vocab": {}}}))
    with pytest.warns(TutelageWarning, match="left out of the file"):
        assert not add_tokenizer(None, tmp_path, 10)
