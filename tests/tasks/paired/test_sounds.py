"""Recordings with images beside them."""

from __future__ import annotations

import sys
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch

sys.path.append(str(Path(__file__).parent))
from recordings import CLASSES, RATE, tone, wav, write_images, write_recordings

from tutelage.data import Views, reading
from tutelage.errors import DataError, UnknownName
from tutelage.export import onnx
from tutelage.recipes import build
from tutelage.recipes.load import parse
from tutelage.runs import run
from tutelage.tasks.paired import sounds
from tutelage.tasks.paired.models import sound_convnet
from tutelage.tasks.paired.pairing import picks
from tutelage.tasks.paired.waves import samples_of, sounds_of
from tutelage.tasks.problem import Problem

SIZES = {"seconds": 0.2, "validation": 12}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("pairs")
    return {
        "data": write_recordings(folder / "sounds", {"train": 60, "test": 18}),
        "images": write_images(folder / "images", {"train": 120, "test": 30}),
    }


@pytest.fixture(scope="module")
def problem(places: dict[str, str]) -> Problem:
    return sounds(**places, **SIZES)


def brightness(images: torch.Tensor) -> torch.Tensor:
    """The class that an image shows."""
    return ((images[:, 0, 3, 0] + 1) * 127.5 / 80).round().long() - 1


def test_each_recording_lies_beside_an_image_of_its_class(problem: Problem):
    for part, count in ((problem.train, 48), (problem.validation, 12), (problem.test, 18)):
        batch = part.batch(range(len(part)))
        assert len(part) == count
        assert batch.inputs["image"].shape[1:] == (1, 6, 6)
        assert batch.inputs["sound"].shape[1:] == (200,)
        assert batch.inputs["sound"].abs().max() <= 1
        assert torch.equal(brightness(batch.inputs["image"]), batch.labels)
    assert problem.network_options == {"num_classes": CLASSES, "in_channels": 1, "rate": RATE}
    assert problem.of_teacher.reads == {"student": ("image",)}


def numbers_of(images: torch.Tensor) -> list[int]:
    """Which images they are."""
    return ((images[:, 0, 0, 5] + 1) * 127.5).round().long().tolist()


def test_no_part_shows_an_image_of_another(problem: Problem, places: dict[str, str]):
    shown = numbers_of(problem.validation.batch(range(12)).inputs["image"])
    anew = problem.augment({"images": "anew"})
    drawn = {
        n
        for view in range(30)
        for n in numbers_of(Views(problem.train, anew, view)[[range(48)]][0].inputs["image"])
    }
    assert len(drawn) > 60
    assert drawn.isdisjoint(shown)


def test_images_anew_depend_on_the_pair_and_the_view_alone(problem: Problem):
    anew = problem.augment({"images": "anew"})
    batch = problem.train.batch([3, 7, 11])
    first = anew(batch, 5)
    assert torch.equal(brightness(first.inputs["image"]), batch.labels)
    assert torch.equal(first.inputs["sound"], batch.inputs["sound"])
    alone = anew(problem.train.batch([11]), 5)
    assert torch.equal(alone.inputs["image"][0], first.inputs["image"][2])
    views = {tuple(numbers_of(anew(batch, view).inputs["image"])) for view in range(8)}
    assert len(views) > 4
    assert repr(anew) == repr(problem.augment({"images": "anew"}))


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"image": "anew"}, "unknown augmentation 'image'"), ({"images": "new"}, "'new'.*Nearest: 'anew'")],
)
def test_augmentations_that_are_not_there(problem: Problem, settings, message):
    with pytest.raises(UnknownName, match=message):
        problem.augment(settings)


def test_picks_are_even_and_of_the_class():
    held = torch.arange(30) % 3
    classes = torch.arange(9000) % 3
    found = picks(torch.arange(9000), classes, held, seed=1, draw="x")
    assert torch.equal(held[found], classes)
    counts = torch.bincount(found, minlength=30)
    assert counts.min() > 200
    assert counts.max() < 400


def test_a_class_without_an_image():
    with pytest.raises(DataError, match=r"no image of the classes \[2\]"):
        picks(torch.arange(3), torch.arange(3), torch.tensor([0, 1]), seed=0, draw="x")


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([0, 16384, -32768], dtype=np.int16), [0, 16384, -32768]),
        (np.array([128, 255, 0], dtype=np.uint8), [0, 32512, -32768]),
        (np.array([0, 1 << 30, -(1 << 31)], dtype=np.int32), [0, 16384, -32768]),
        (np.array([0.0, 0.5, -1.0], dtype=np.float32), [0, 16383, -32767]),
        (np.array([[0, 0], [100, 300]], dtype=np.int16), [0, 200]),
    ],
)
def test_samples_of_any_width(array, expected):
    rate, samples = samples_of({"bytes": wav(array), "path": None}, "audio")
    assert (rate, samples.tolist()) == (RATE, expected)
    assert samples.dtype == torch.int16


@pytest.mark.parametrize("value", [b"RIFF no", "nowhere.wav", 3, {"bytes": None, "path": None}])
def test_what_is_no_recording(value):
    with pytest.raises(DataError, match=r"the column 'audio' holds a .* that is no WAV"):
        samples_of(value, "audio")


def table(rows: list[bytes]) -> datasets.Dataset:
    return datasets.Dataset.from_dict({"audio": rows})


def test_recordings_of_several_rates():
    with pytest.raises(DataError, match=r"recordings of \[1000, 2000\] hertz"):
        sounds_of(table([tone(0, 0), tone(0, 0, 2000)]), "audio", 0.1)
    with pytest.raises(DataError, match="at least one sample"):
        sounds_of(table([tone(0, 0)]), "audio", 0.0)


def test_inputs_that_nobody_has(places: dict[str, str]):
    with pytest.raises(UnknownName, match="unknown input 'picture'"):
        sounds(**places, **SIZES, reads={"teacher": ["picture"]})


def recipe(places: dict[str, str]):
    adam = {"student": {"adamw": {"lr": 0.01}}}
    train = {"epochs": 8, "batch_size": 16, "augment": {"images": "anew"}}
    net = {"sound_convnet": {"widths": [4, 8], "mels": 12, "window": 64, "hop": 32}}
    frozen = {"model": {"mlp": {"in_features": 36, "widths": [8]}}, "train": train, "optimizers": adam}
    soft = {"loss": "response.SoftTarget", "temperature": 2.0}
    return parse(
        {
            "task": {"paired.sounds": {**places, **SIZES}},
            "teacher": {"frozen": frozen},
            "student": {"model": net},
            "transfer": {"labelled": 0.25},
            "stages": [{"scheme": {"offline": {"matches": [soft]}}, "optimizers": adam, "train": train}],
            "seeds": 1,
        }
    )


@pytest.mark.slow
def test_a_student_that_learned_from_images_is_used_with_sound_alone(places: dict[str, str], tmp_path: Path):
    import onnxruntime

    done = run(build(recipe(places), "tones"), tmp_path / "run", quiet=True, cpu=True)
    assert done.results["outcomes"]["student"]["quality"]["accuracy"]["mean"] > 0.8
    heard = reading(sounds(**places, **SIZES).test.batch(range(18)), ["sound"])
    student = done.student.eval()
    onnx(student, heard.inputs[:1], tmp_path / "student.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "student.onnx", providers=["CPUExecutionProvider"])
    (name,) = [each.name for each in session.get_inputs()]
    (logits,) = session.run(None, {name: heard.inputs.numpy()})
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(logits), student(heard.inputs), rtol=1e-3, atol=1e-3)
    assert (logits.argmax(1) == heard.labels.numpy()).mean() > 0.8


def test_the_front_end_finds_a_tone():
    network = sound_convnet(num_classes=3, rate=RATE, mels=12, window=64, hop=32, widths=[4])
    waves = torch.stack([torch.sin(2 * torch.pi * hertz * torch.arange(400) / RATE) for hertz in (60, 400)])
    seen = network.front(waves)
    assert seen.shape == (2, 1, 12, 11)
    low, high = seen.mean(-1)[:, 0].argmax(-1).tolist()
    assert low < 4
    assert high > 8
    torch.testing.assert_close(network.front(waves * 0.5), seen, atol=0.2, rtol=0)
    assert seen.mean((-3, -2, -1)).abs().max() < 1e-5
