"""A student that is taught about what it writes: which examples, by which terms, and a run to its report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from carrying import same_in_parts_and_together
from torch import nn
from typer.testing import CliRunner

from tutelage.cli import app
from tutelage.data import Examples, uniform
from tutelage.errors import ModelError
from tutelage.losses import response
from tutelage.match import Match
from tutelage.recipes import build, load
from tutelage.runs import run
from tutelage.schemes import OnPolicy
from tutelage.teachers import Frozen, Function
from tutelage.types import UNLABELLED, Batch, Moment

TINY = {"model_type": "llama", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
TINY |= {"num_key_value_heads": 2, "intermediate_size": 24, "tie_word_embeddings": False}


def doubled(network, batch, *, seed, prompt):
    """Twice each row, so that what was rolled out is seen; no label counts there."""
    assert prompt == 2
    labels = None if batch.labels is None else torch.full_like(batch.labels, UNLABELLED)
    return Batch(2 * batch.inputs, batch.ids, labels, torch.ones(len(batch), dtype=torch.bool))


def reverse() -> Match:
    return Match(response.ReverseSoftTarget(temperature=1.0))


def batch(count: int = 40) -> Batch:
    rows = torch.randn(count, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return Examples(rows, torch.arange(count) % 2).batch(range(count))


def scheme(*matches: Match, rollout=doubled, teacher=None, **options) -> OnPolicy:
    torch.manual_seed(1)
    teacher = teacher or Frozen(nn.Linear(2, 2).double())
    given = {"prompt": 2} | options
    return OnPolicy(nn.Linear(2, 2).double(), teacher, matches or [reverse()], rollout, **given)


def made(scheme: OnPolicy, batch: Batch, move: int = 0) -> Batch:
    (turn,) = scheme.turns()
    return turn.makes(batch, Moment(0, 9, 9, move))


# -- what is rolled out ------------------------------------------------------------------------------


def test_all_of_it_unless_a_share_is_given():
    found, text = made(scheme(), batch()), batch()
    assert found.inputs.equal(2 * text.inputs)
    assert found.ids.equal(text.ids)


def test_a_share_is_drawn_by_id_and_move():
    text = batch()
    found = made(scheme(share=0.3), text, move=4)
    rolled = uniform(text.ids, seed=4, draw="rolled out") < 0.3
    assert 0 < int(rolled.sum()) < 40
    assert found.inputs.equal(torch.where(rolled.unsqueeze(1), 2 * text.inputs, text.inputs))
    assert found.labels.equal(torch.where(rolled, UNLABELLED, text.labels))
    assert bool(found.mask.all())
    other = made(scheme(share=0.3), text, move=5)
    assert not other.inputs.equal(found.inputs)


def test_an_example_is_made_alike_in_any_batch():
    text = batch()
    whole = made(scheme(share=0.5), text)
    for part in (range(3, 11), [17], [39, 2]):
        few = Examples(text.inputs, text.labels).batch(part)
        assert made(scheme(share=0.5), few).inputs.equal(whole.inputs[list(part)])


def test_examples_that_only_fill_up_stay_out():
    """A process without work has examples that count for nothing; what is written of them would count."""
    text = batch(4)
    filling = Batch(text.inputs, text.ids, text.labels, torch.zeros(4, dtype=torch.bool))
    assert made(scheme(), filling).count == 0
    tokens = Batch(text.inputs, text.ids, text.labels, torch.tensor([[True, False], [False, False]] * 2))
    found = made(scheme(rollout=lambda *_, **__: _two_tokens(text)), tokens)
    assert found.mask.tolist() == [[True, True], [False, False]] * 2


def _two_tokens(text: Batch) -> Batch:
    return Batch(text.inputs[::2], text.ids[::2], text.labels[::2], torch.ones(2, 2, dtype=torch.bool))


def test_keys_of_the_text_do_not_pass_for_those_of_what_was_written():
    text = batch(8)
    keyed = Batch(text.inputs, text.ids, text.labels, keys=torch.zeros(8, 2, dtype=torch.int64))
    assert made(scheme(), keyed).keys is None
    assert made(scheme(share=0.5), keyed).keys is None
    assert made(scheme(share=1e-9), keyed).keys is None


def test_terms_by_hand():
    """Two rows, one of them written: the divergence of both, the cross-entropy of the one with a label."""
    asked = []

    def say(inputs):
        asked.append(inputs.clone())
        return torch.zeros(len(inputs), 2, dtype=torch.float64)

    text = batch()
    one = scheme(reverse(), Match(response.HardLabel()), teacher=Function(say), share=0.5)
    ids = uniform(text.ids, seed=0, draw="rolled out") < 0.5
    written, kept = int(ids.nonzero()[0]), int((~ids).nonzero()[0])
    found = made(one, Examples(text.inputs, text.labels).batch([written, kept]))
    (turn,) = one.turns()
    terms = turn.terms(found)
    rows = torch.stack([2 * text.inputs[written], text.inputs[kept]])
    assert asked[-1].equal(rows)
    log_probs = one.student(rows).log_softmax(-1)
    kl = (log_probs.exp() * (log_probs - torch.tensor(0.5).log())).sum(-1)
    torch.testing.assert_close(terms["ReverseSoftTarget"], kl.mean())
    torch.testing.assert_close(terms["HardLabel"], -log_probs[1, text.labels[kept]] / 2)


def test_a_dry_run_rolls_out():
    calls = []

    def rollout(network, batch, *, seed, prompt):
        calls.append(network.training)
        return doubled(network, batch, seed=seed, prompt=prompt)

    one = scheme(rollout=rollout, share=0.01)
    one.prepare(batch(1))
    assert calls == [False]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"share": 0}, "share came as 0; expected a number above 0 up to 1"),
        ({"share": "half"}, "share came as 'half'"),
        ({"prompt": 0}, "prompt came as 0; a whole number of 1 or more"),
        ({"prompt": 1.5}, "prompt came as 1.5"),
    ],
)
def test_options_out_of_range(given, said):
    with pytest.raises(ModelError, match=said):
        scheme(**given)
    with pytest.raises(ModelError, match=said):
        OnPolicy.declare([reverse()], ["student"], **given)


def test_it_needs_a_teacher():
    with pytest.raises(ModelError, match="no match that needs a teacher"):
        scheme(Match(response.HardLabel()))
    with pytest.raises(ModelError, match="compares the student with a teacher, and none was given"):
        OnPolicy(nn.Linear(2, 2), None, [reverse()], doubled)


def test_it_says_that_it_asks_about_what_it_makes():
    declared = OnPolicy.declare([reverse()], ["student"], share=0.5)
    assert declared.asks == "made"
    assert declared.turn_names == ["student"]
    assert [term.needs_teacher for term in declared.terms] == [True]


# -- from a recipe ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    words = ("the owl", "a cat", "one dog", "that elk", "an ant")
    lines = [f"{one} saw {other}, and {other} ran from {one}" for one in words for other in words]
    (folder / "train.txt").write_text("\n\n".join(lines))
    (folder / "test.txt").write_text("\n\n".join(lines[::3]))
    return folder


def changes(corpus: Path, **more: object) -> list[str]:
    model = f"{{transformers_causal: {{config: {TINY}}}}}"
    said = {
        "task.data": corpus,
        "task.documents": "paragraphs",
        "task.tokenizer.bpe": 300,
        "task.length": 12,
        "task.validation": 4,
        "teacher.frozen.model": model,
        "teacher.frozen.train.steps": 80,
        "teacher.frozen.optimizers": "{student: {adamw: {lr: 0.02}}}",
        "student.model": model,
        "stages.0.train.steps": 6,
        "stages.1.train.steps": 4,
        "stages.1.scheme.on_policy.prompt": 3,
    }
    return [f"{key}={value}" for key, value in (said | more).items()]


@pytest.mark.slow
def test_parts_and_processes_write_and_learn_alike(corpus, tmp_path):
    slow = "{student: {sgd: {lr: 0.05}}}"
    few = {"stages.0.optimizers": slow, "stages.1.optimizers": slow, "stages.0.train.steps": 2}
    few |= {"control": "false", "stages.1.train.batch_size": 7, "teacher.frozen.train.steps": 2}
    same_in_parts_and_together("language/tiny_on_policy", changes(corpus, **few), tmp_path)


@pytest.fixture(scope="module")
def done(corpus, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("done") / "run"
    study = build(load("language/tiny_on_policy", changes=changes(corpus)), "tiny_on_policy")
    assert run(study, out, quiet=True) is not None
    return out


@pytest.mark.slow
def test_a_run_has_its_outcomes_and_a_verdict_over_documents(done):
    held = json.loads((done / "results.json").read_text())
    assert list(held["outcomes"]) == ["control", "student"]
    assert held["seeds"] == [0, 1, 2]
    assert held["outcomes"]["student"]["against"] == "control"
    assert held["outcomes"]["student"]["steps"] == held["outcomes"]["control"]["steps"] == 10
    assert len(held["student"]["quality"]["nll"]["per_seed"]) == 3
    assert (held["verdict"]["of"], held["verdict"]["against"]) == ("student", "control")
    assert held["verdict"]["metric"] == "nll"
    assert held["verdict"]["examples"] == 9
    assert held["teacher"]["quality"]["nll"]["mean"] > 0


@pytest.mark.slow
def test_a_run_leaves_its_files_and_a_report(done):
    assert {"results.json", "student.safetensors", "tokenizer", "recipe.yaml"} <= {
        path.name for path in done.iterdir()
    }
    history = (done / "seed0" / "student" / "stage1" / "history.jsonl").read_text()
    assert "student/ReverseSoftTarget" in history
    assert "student/HardLabel" in history
    assert CliRunner().invoke(app, ["report", str(done)]).exit_code == 0
    assert "tiny_on_policy" in (done / "report.html").read_text()


@pytest.mark.slow
def test_another_run_writes_and_learns_the_same_to_the_bit(corpus, done, tmp_path):
    study = build(load("language/tiny_on_policy", changes=changes(corpus, seeds=1)), "tiny_on_policy")
    run(study, tmp_path / "again", quiet=True)
    path = Path("seed0", "student", "student.safetensors")
    assert (tmp_path / "again" / path).read_bytes() == (done / path).read_bytes()


def test_its_answers_are_not_kept_beforehand(corpus, tmp_path):
    said = [part for change in changes(corpus) for part in ("--set", change)]
    found = CliRunner().invoke(app, ["label", "language/tiny_on_policy", "--out", str(tmp_path), *said])
    assert found.exit_code == 2
    assert "which nobody knows beforehand" in " ".join(found.stderr.split())
