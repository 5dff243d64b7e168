"""A teacher's answers, made once: the same training, nothing lost, nothing stored that a loss cannot read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tutelage.answers import Answers, Place
from tutelage.data import Examples, Items
from tutelage.engine import Runtime, read_history
from tutelage.errors import AnswersError, Interrupted, ModelError, OutputError, RecipeError
from tutelage.labelling import LabelSettings, Stated, finish, prepare, repair, shown
from tutelage.recipes import build, load
from tutelage.studies import Study
from tutelage.teachers import Stored
from tutelage.training import Classroom, train_arm, train_teacher

SHORT = [
    "teacher.frozen.train.epochs=1",
    "teacher.frozen.remember=false",
    "stages.0.train.epochs=3",
    "stages.0.train.accumulate=2",
    "seeds=1",
]
VIEWS = ["stages.0.train.augment={jitter: 1}"]


def study(*changes: str) -> Study:
    return build(load("vision/digits", changes=[*SHORT, *changes]), "vision/digits")


def quiet() -> Runtime:
    return Runtime(cpu=True, quiet=True)


def stated(out: Path, *changes: str, **settings) -> Stated:
    return prepare(study(*changes), out, LabelSettings(**settings), quiet())


def label(out: Path, *changes: str, **settings) -> dict:
    held = stated(out, *changes, **settings)
    held.labelling.run()
    return finish(held)


def losses(held: Study, folder: Path, teacher) -> list[float]:
    train_arm(
        held.arms["student"], held.problem, quiet(), folder, seed=0, teacher=lambda _: teacher, label="x"
    )
    return [one["loss"] for one in read_history(folder / "stage0" / "history.jsonl") if "loss" in one]


@pytest.mark.slow
@pytest.mark.parametrize("views", [[], VIEWS], ids=["as they are", "views"])
def test_training_from_answers_is_training_with_the_teacher(tmp_path, views):
    held = study(*views, "stages.0.train.log_every=1")
    done = label(tmp_path / "answers", *views)
    parts = held.problem
    once = len(parts.validation) + len(parts.test)
    assert done["examples"] == len(parts.train) * (3 if views else 1) + once
    taught = train_teacher(held, tmp_path / "answers", quiet())
    live = Classroom(held, [taught[0].network], quiet()).teacher(held.arms["student"], None)
    with_teacher = losses(held, tmp_path / "live", live)
    without = losses(held, tmp_path / "stored", Stored(tmp_path / "answers"))
    assert len(with_teacher) == len(without) > 40
    assert without == pytest.approx(with_teacher, rel=1e-6, abs=1e-6)


@pytest.mark.slow
def test_more_epochs_than_were_labelled_are_refused(tmp_path):
    label(tmp_path / "answers", *VIEWS)
    longer = study(*VIEWS, "stages.0.train.epochs=4")
    with pytest.raises(AnswersError, match=r"more epochs or other seeds than were labelled"):
        losses(longer, tmp_path / "run", Stored(tmp_path / "answers"))


@pytest.mark.slow
def test_who_stops_goes_on_and_asks_nothing_twice(tmp_path):
    calm = label(tmp_path / "calm", *VIEWS, shard_bytes=20_000)
    assert calm["shards"] > 8
    held = stated(tmp_path / "stopped", *VIEWS, shard_bytes=20_000)
    made = held.labelling.make

    def some(number):
        if len(held.labelling.missing()) == 4:
            raise Interrupted("stop")
        return made(number)

    held.labelling.make = some
    with pytest.raises(Interrupted):
        held.labelling.run()
    again = stated(tmp_path / "stopped", *VIEWS, shard_bytes=20_000)
    assert len(again.labelling.missing()) == 4
    again.labelling.run()
    finish(again)
    for file in sorted((tmp_path / "calm" / "shards").iterdir()):
        assert file.read_bytes() == (tmp_path / "stopped" / "shards" / file.name).read_bytes()


def test_a_stop_between_shards_keeps_what_is_done(tmp_path):
    held = stated(tmp_path, *VIEWS, shard_bytes=20_000)
    held.labelling.runtime.stop.asked = True
    with pytest.raises(Interrupted, match="keeps what was answered"):
        held.labelling.run()


@pytest.mark.slow
def test_a_damaged_shard_is_made_again(tmp_path):
    label(tmp_path, shard_bytes=20_000)
    file = tmp_path / "shards" / "000001.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    (found,) = repair(stated(tmp_path, shard_bytes=20_000).labelling)
    assert found.startswith("shards/000001.safetensors is damaged")
    assert file.read_bytes() == whole
    assert Answers(tmp_path).damaged() == []


@pytest.mark.slow
def test_processes_share_the_shards(tmp_path):
    calm = label(tmp_path / "calm", shard_bytes=10_000)
    for rank in (0, 1):
        held = stated(tmp_path / "shared", shard_bytes=10_000)
        held.labelling.runtime = type(
            "Two",
            (),
            {"rank": rank, "world": 2, "quiet": True, "stop_asked": False, "device": torch.device("cpu")},
        )()
        mine = held.labelling.missing()[rank::2]
        for number in mine if rank == 0 else held.labelling.missing():
            held.labelling.make(number)
    manifest = held.labelling.promise().finish(Place(tmp_path / "shared"))
    assert manifest.examples == calm["examples"]


@pytest.mark.slow
def test_the_error_that_is_stated_is_near_the_one_that_is_measured(tmp_path):
    done = label(tmp_path, form="topk:3")
    said, found = done["stated"]["2"], done["measured"]["2"]
    assert found["gradient"] == pytest.approx(said["gradient"], rel=0.3)
    assert found["kl"] == pytest.approx(said["kl"], rel=0.5)
    about = json.loads((tmp_path / "about.json").read_text())
    assert about["teacher"]["cost"]["parameters"] > 10_000
    assert about["teacher"]["train_seconds"] > 0


@pytest.mark.slow
def test_a_budget_chooses_a_form_that_fits(tmp_path):
    chosen = stated(tmp_path, budget=90e3).candidate
    assert chosen.nbytes <= 90e3
    assert chosen.form.serves(2.0)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["dense:int8", "topk:3@2", "sampled:4@2"])
def test_the_room_is_said_before(tmp_path, form):
    held = stated(tmp_path, form=form)
    held.labelling.run()
    assert finish(held)["bytes"] == pytest.approx(held.candidate.nbytes, rel=0.02)


@pytest.mark.parametrize(
    ("changes", "form", "message"),
    [
        ([], "topk:3@1", "topk:3@1 cannot serve temperature 2"),
        ([], "sampled:5@1", "sampled:5@1 cannot serve temperature 2"),
        (
            ["stages.0.scheme.offline.matches.0={loss: response.HardTeacher}"],
            "topk:3",
            "HardTeacher need all logits",
        ),
    ],
)
def test_what_cannot_be_used_is_not_stored(tmp_path, changes, form, message):
    with pytest.raises(RecipeError, match=message):
        stated(tmp_path, *changes, form=form)


@pytest.mark.slow
def test_a_teacher_of_another_recipe_is_not_taken_up(tmp_path):
    label(tmp_path)
    with pytest.raises(OutputError, match="a teacher of another recipe"):
        stated(tmp_path, "teacher.frozen.train.epochs=2")


@pytest.mark.slow
def test_seconds_add_up_and_are_not_lost(tmp_path):
    first = label(tmp_path)["label_seconds"]
    assert 0 < first == label(tmp_path)["label_seconds"]


def test_arms_that_show_the_same_are_asked_once():
    scheme = "{offline: {matches: [{loss: response.SoftTarget}]}}"
    train = "{epochs: 3, batch_size: 64, accumulate: 2, augment: {jitter: 1}}"
    stage = f"{{scheme: {scheme}, optimizers: {{student: sgd}}, train: {train}}}"
    also = f"also={{second: {{stages: [{stage}]}}}}"
    assert len(shown(study(*VIEWS, also))) == len(shown(study(*VIEWS)))


def test_a_teacher_that_moves_has_no_answers_to_keep(tmp_path):
    with pytest.raises(ModelError, match="its answers are not stored"):
        stated(tmp_path, "teacher={moving_average: {decay: 0.9}}")


def test_data_that_draw_for_themselves_are_refused():
    held = study()
    drawn = Items(
        [0] * 16, collate=lambda items: (torch.randn(len(items), 1, 8, 8), torch.zeros(len(items)).long())
    )
    object.__setattr__(held.problem, "validation", drawn)
    with pytest.raises(AnswersError, match="other ones each time"):
        shown(held)
    object.__setattr__(held.problem, "validation", Examples(torch.zeros(4, 1, 8, 8), torch.zeros(4).long()))
    assert len(shown(held)) == 3
