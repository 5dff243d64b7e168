"""Every recipe that comes along loads, builds and takes two steps on tiny data."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import pytest
from transformers import AutoConfig, AutoModelForCausalLM, BertConfig, BertForMaskedLM

import tutelage.losses
from tutelage.data import Source, Subset
from tutelage.engine import Runtime
from tutelage.recipes import Recipe, build, load, names
from tutelage.recipes.names import public_names
from tutelage.recipes.stage_spec import ChangeSpec
from tutelage.shelf import recipe_text
from tutelage.studies import Arm, Change, Stage, Study
from tutelage.tasks.language.vocabulary import Vocabulary
from tutelage.tasks.text.words import WordList
from tutelage.training import Classroom, train_arm, train_teacher

ROWS = 200


def tiny_copy(folder: Path, to: Path) -> Path:
    """Some rows of each split of a data set on disk, from all over it."""
    to.mkdir(exist_ok=True)
    for file in sorted(folder.glob("*.parquet")):
        rows = datasets.load_dataset("parquet", data_files=str(file), split="train")
        rows.select(range(0, len(rows), max(1, len(rows) // ROWS))).to_parquet(to / file.name)
    return to


ANIMALS = ("cat", "dog", "owl", "fox", "bee")


def tiny_language(recipe: Recipe, to: Path) -> list[str]:
    """A text of a few words; and small networks, in place of those that come with weights."""
    task = recipe.task.settings
    lines = [f"the {a} saw a {b} and the {c} ran" for a in ANIMALS for b in ANIMALS for c in ANIMALS]
    (to / "train.txt").write_text("\n\n".join(f"= {n} =\n\n{line}" for n, line in enumerate(lines)))
    changes = [f"task.data={to / 'train.txt'}", "task.length=16", "task.validation=0.1", "task.test=0.1"]
    if isinstance(task["tokenizer"], dict):
        size = min(300, task["tokenizer"]["bpe"])
        changes += ["task.documents=headings", f"task.tokenizer={{bpe: {size}}}"]
    else:
        changes += ["task.documents=headings", f"task.tokenizer={to}"]
    Vocabulary.learnt(lines, size=300).tokenizer.save_pretrained(to)
    kind = "gpt2" if "gpt2" in str(task["tokenizer"]) else "llama"
    AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **SMALL[kind])).save_pretrained(to)
    teacher, student = recipe.teacher, recipe.student.model
    assert teacher is not None
    changes += [f"student.model.path={to}"] if "path" in student.settings else []
    changes += ["teacher.path=" + str(to)] if teacher.name == "across" else []
    held = teacher.settings.get("model", {}).get("transformers_causal", {})
    changes += [f"teacher.model.path={to}"] if "path" in held else []
    sizes = {"layers": 12, "hidden": 4, "heads": 1, "mlp": 4}
    cut = recipe.stages[0].change.settings if isinstance(recipe.stages[0], ChangeSpec) else {}
    changes += [f"stages.0.prune_transformer.{key}={sizes[key]}" for key in cut]
    config = {"model_type": "llama", "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1}
    others = [name for name, arm in recipe.also.items() if arm.student is not None]
    return [*changes, *(f"also.{name}.student.model.config={json.dumps(config)}" for name in others)]


def tiny_translation(to: Path) -> list[str]:
    """Sentences of a few words, and their words in capitals."""
    pytest.importorskip("sacrebleu", reason="sacrebleu is not installed: pip install 'tutelage[text]'")
    rows = [f"the {a} saw a {b} and the {c} ran" for a in ANIMALS for b in ANIMALS for c in ANIMALS]
    columns = {"en": rows, "de": [row.upper() for row in rows]}
    datasets.Dataset.from_dict(columns).to_parquet(to / "train.parquet")
    return [f"task.data={to}", "task.tokenizer={bpe: 400}", "task.length=16"]


SMALL: dict[str, dict[str, Any]] = {
    "llama": {
        "vocab_size": 300,
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "num_hidden_layers": 30,
    },
    "gpt2": {"vocab_size": 300, "n_embd": 8, "n_head": 1, "n_layer": 12},
}
"""Networks of as many layers as those that recipes name, and far narrower."""


def tiny_text(task: dict[str, Any], recipe: Any, to: Path) -> list[str]:
    """Sentences of a few words; and a BERT of small layers, in place of one that comes with weights."""
    rows = [f"the {a} saw a {b} and it was {c}" for a in ANIMALS for b in ANIMALS for c in ("nice", "sad")]
    columns = {"text": rows, "label": [row.endswith("sad") * 1 for row in rows]}
    datasets.Dataset.from_dict(columns).to_parquet(to / "train.parquet")
    WordList.learnt(rows, kind="wordpiece", size=300).tokenizer.save_pretrained(to)
    embeds, learnt = "encoder" in task, isinstance(task.get("tokenizer"), dict)
    depth = 6 if "MiniLM" in str(task["encoder" if embeds else "tokenizer"]) else 12
    config = BertConfig(
        vocab_size=300, hidden_size=48, intermediate_size=8, num_attention_heads=12, num_hidden_layers=depth
    )
    BertForMaskedLM(config).save_pretrained(to)
    paths = {"task.encoder": to} if embeds else {"task.tokenizer": to, "teacher.model.path": to}
    paths = {} if learnt else paths
    if "path" in recipe.student.model.settings:
        paths["student.model.path"] = to
    if "embeddings_from" in recipe.student.model.settings:
        paths["student.model.embeddings_from"] = to
    plain = ["task.config=null"] if "config" in task else []
    plain += ["task.text=text"] if "text" in task else []
    return [
        *plain,
        f"task.data={to}",
        "task.length=16",
        *(f"{name}={place}" for name, place in paths.items()),
    ]


ALIKE = (
    "language/bytes_from_pairs",
    "language/chat",
    "language/distilgpt2",
    "language/miniplm",
    "language/minitron",
    "language/smollm2_width",
    "language/wikitext_divergences",
    "text/minilm",
    "text/mobilebert",
    "text/sst2_bilstm",
    "vision/mnist_few_labels",
    "vision/mnist_lwf_all_classes",
)
"""Recipes that differ from others of their field in numbers and in losses, which have tests of their own."""


def each_name() -> list[Any]:
    """All recipes; those of CIFAR-10 train a dozen convolutional networks each, INT8 writes files.

    TinyBERT's teacher has twelve blocks.
    """
    files = ("int8", "to_device", "tinybert")
    slow = [name for name in names() if name.startswith("vision/cifar10") or name.endswith(files)]
    slow += ALIKE
    return [pytest.param(name, marks=[pytest.mark.slow] if name in slow else []) for name in names()]


def changes_for(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """What makes a recipe's data tiny; data of the hub come from a copy on disk, or the test is skipped."""
    recipe = load(name)
    task = recipe.task.settings
    trees = (
        recipe.teacher is not None
        and recipe.teacher.name == "predictor"
        and "n_estimators" in str(recipe.teacher.settings)
    )
    fewer = ["teacher.model.n_estimators=5"] if trees else []
    if recipe.task.name.startswith("language."):
        return tiny_language(recipe, tmp_path)
    if recipe.task.name == "text.translation":
        return tiny_translation(tmp_path)
    if recipe.task.name.startswith("text."):
        return tiny_text(task, recipe, tmp_path)
    if task["data"].startswith("sklearn."):
        return fewer
    copies = []
    for part in [part for part in ("data", "images") if part in task]:
        folder = request.getfixturevalue("shared_data") / task[part].rpartition("/")[2]
        if not folder.is_dir():
            pytest.skip(f"no copy of {task[part]} at {folder}")
        copies.append(f"task.{part}={tiny_copy(folder, tmp_path / part)}")
    counted = [part for part in ("train", "validation", "test", "pool") if isinstance(task.get(part), int)]
    return [
        *fewer,
        *copies,
        *(f"task.{part}={0.5 if part in ('train', 'pool') else 0.2}" for part in counted),
    ]


def shortened(stage: Stage | Change) -> Stage | Change:
    if isinstance(stage, Change):
        return stage
    changed = {"epochs": None, "steps": 2, "batch_size": min(16, stage.settings.batch_size)}
    return replace(stage, settings=stage.settings.model_copy(update=changed))


def tiny(source: Source) -> Source:
    return source if len(source) <= 64 else Subset(source, range(64))


def tiny_arm(arm: Arm) -> Arm:
    return replace(arm, stages=[shortened(stage) for stage in arm.stages], source=tiny(arm.source))


def tiny_study(study: Study) -> Study:
    problem = replace(study.problem, validation=tiny(study.problem.validation))
    plan = study.teacher and replace(study.teacher, arms=[tiny_arm(arm) for arm in study.teacher.arms])
    arms = {name: tiny_arm(arm) for name, arm in study.arms.items()}
    return replace(study, problem=problem, teacher=plan, arms=arms)


@pytest.mark.filterwarnings("ignore:plain. of the student")  # exits that are there, and rest
@pytest.mark.filterwarnings("ignore:quantise of the student")  # hardly trained, and slow beside other tests
@pytest.mark.parametrize("name", each_name())
def test_a_recipe_loads_builds_and_takes_two_steps(name: str, request: Any, tmp_path: Path):
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    recipe = load(name, changes=changes_for(name, request, data))
    assert recipe.about, "a recipe says what it shows"
    study = tiny_study(build(recipe, name))
    runtime = Runtime(cpu=True, quiet=True)
    taught = train_teacher(study, out, runtime) if study.asks else []
    classroom = Classroom(study, [one.network for one in taught], runtime)
    for label, arm in study.arms.items():

        def teacher(stage: Stage | None, arm: Arm = arm) -> Any:
            return classroom.teacher(arm, stage)

        asked = teacher if arm.needs_teacher else None
        trained = train_arm(arm, study.problem, runtime, out / label, seed=0, teacher=asked, label=label)
        assert trained.steps_until() == 2 * len(list(arm.trainings))


@pytest.mark.parametrize("name", names())
def test_a_recipe_was_tuned_with_the_same_effort_for_control_and_student(name: str):
    recipe = load(name)
    trials = {arm: held.get("trials") for arm, held in recipe.tuning.items()}
    assert trials.get("control") == trials.get("student")


@pytest.mark.parametrize("name", names())
def test_a_recipe_says_what_to_expect(name: str):
    expected = load(name).expected
    assert expected
    assert all(set(held) == {"paper", "source", "ours"} and held["source"] for held in expected.values())


WITHOUT_A_TASK = {
    f"response.{name}"
    for name in ("BinaryLabel", "BinarySoftTarget", "BoundedRegression", "SoftLabel", "ValueLabel")
}
"""Losses for labels that no task here has yet, and `distill` takes: shares, several at once, numbers."""


def test_every_loss_is_part_of_a_recipe():
    used = " ".join(recipe_text(name) for name in names())
    losses = [name for name in public_names(tutelage.losses) if "." in name and "transforms" not in name]
    assert {name for name in losses if f"loss: {name}," not in used and f"loss: {name}}}" not in used} == (
        WITHOUT_A_TASK
    )
