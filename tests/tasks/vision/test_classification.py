"""Classes of images."""

from __future__ import annotations

import io

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from tutelage.errors import DataError, RecipeError, UnknownName
from tutelage.evaluation import Predictions
from tutelage.tasks.vision import classification
from tutelage.tasks.vision.images import Decoded, Scale, image_source, pixels_of


@pytest.fixture(scope="module")
def digits():
    return classification(data="sklearn.digits", watch=[8])


def test_digits(digits):
    assert (len(digits.train), len(digits.validation), len(digits.test)) == (1294, 144, 359)
    assert digits.num_classes == 10
    assert digits.class_names == tuple("0123456789")
    assert digits.network_options == {"num_classes": 10, "in_channels": 1, "in_features": 64}
    assert 0.09 < digits.chance < 0.12
    batch = digits.train.batch(range(1294))
    assert batch.inputs.shape == (1294, 1, 8, 8)
    assert float(batch.inputs.min()) == -1
    assert float(batch.inputs.max()) == 1


def test_parts_share_no_example_and_every_class(digits):
    parts = [
        set(part.batch(range(len(part))).ids.tolist())
        for part in (digits.train, digits.validation, digits.test)
    ]
    assert len(set.union(*parts)) == sum(map(len, parts)) == 1797
    for part in (digits.train, digits.validation, digits.test):
        assert set(part.labels.tolist()) == set(range(10))


def test_a_seed_draws_the_parts():
    one, two, three = (classification(data="sklearn.digits", seed=seed) for seed in (1, 1, 2))
    assert one.test.fingerprint() == two.test.fingerprint() != three.test.fingerprint()


@pytest.mark.slow
def test_watched_classes_are_measured(digits):
    labels = digits.validation.labels
    right = Predictions(torch.eye(10)[labels] * 9, labels, torch.arange(len(labels)))
    measured = digits.exam.measure(right)
    assert measured["accuracy"] == 1
    assert any("8" in name for name in measured)
    with pytest.raises(DataError, match="watch names the class 10, and there are 10 classes"):
        classification(data="sklearn.digits", watch=[10])


def png(array: np.ndarray, mode: str | None = None) -> bytes:
    held = io.BytesIO()
    image = Image.fromarray(array)
    (image if mode is None else image.convert(mode)).save(held, "PNG")
    return held.getvalue()


def write(folder, name: str, images: list[bytes], labels: list, **columns: list) -> None:
    table = datasets.Dataset.from_dict(
        {"img": [{"bytes": content, "path": None} for content in images], "fine_label": labels} | columns
    ).cast_column("img", datasets.Image())
    table.to_parquet(folder / f"{name}.parquet")


def colours(count: int, size: int = 4) -> list[np.ndarray]:
    return list(np.random.RandomState(0).randint(0, 256, (count, size, size, 3)).astype(np.uint8))


def test_a_folder_of_pngs(tmp_path):
    images = colours(30)
    write(tmp_path, "train", [png(image) for image in images], [i % 3 for i in range(30)])
    write(tmp_path, "test", [png(image) for image in images[:6]], [0, 1, 2, 0, 1, 2])
    problem = classification(data=str(tmp_path), mean=[0.1, 0.2, 0.3], std=[0.5, 0.25, 0.125])
    assert (len(problem.train), len(problem.validation), len(problem.test)) == (27, 3, 6)
    assert problem.network_options == {"num_classes": 3, "in_channels": 3, "in_features": 48}
    expected = (images[5].transpose(2, 0, 1) / 255 - np.array([0.1, 0.2, 0.3])[:, None, None]) / np.array(
        [0.5, 0.25, 0.125]
    )[:, None, None]
    np.testing.assert_allclose(problem.test.batch([5]).inputs[0], expected, atol=1e-5)
    assert problem.test.batch([5]).labels.tolist() == [2]


def test_images_that_do_not_fit_in_memory_are_the_same(tmp_path):
    write(tmp_path, "train", [png(image) for image in colours(9)], [i % 3 for i in range(9)])
    table = datasets.load_dataset("parquet", data_files=str(tmp_path / "train.parquet"), split="train")
    options = {"top": 255.0, "mean": [0.5] * 3, "std": [0.5] * 3, "num_classes": 3, "where": "train"}
    held = image_source(table, "img", "fine_label", **options)
    decoded = image_source(table, "img", "fine_label", **options, memory_limit=10)
    assert isinstance(decoded, Decoded)
    assert len(decoded) == len(held)
    one, two = held.batch([4, 0, 8]), decoded.batch(np.array([4, 0, 8]))
    assert torch.equal(one.inputs, two.inputs)
    assert torch.equal(one.labels, two.labels)
    assert torch.equal(one.ids, two.ids)
    assert torch.equal(decoded.labels, held.labels)
    assert decoded.fingerprint() != held.fingerprint()


@pytest.mark.parametrize("limit", [2e9, 1])
def test_images_of_several_sizes(tmp_path, limit):
    write(tmp_path, "train", [png(colours(1)[0]), png(colours(1, 5)[0])], [0, 1])
    table = datasets.load_dataset("parquet", data_files=str(tmp_path / "train.parquet"), split="train")
    with pytest.raises(DataError, match=r"train holds images of \(3, 4, 4\) and \(3, 5, 5\)"):
        image_source(
            table,
            "img",
            "fine_label",
            top=255.0,
            mean=[0.5] * 3,
            std=[0.5] * 3,
            num_classes=2,
            where="train",
            memory_limit=limit,
        ).batch([0, 1])


def test_a_palette_is_read_as_colours():
    colour = np.zeros((4, 4, 3), np.uint8)
    colour[..., 0] = 200
    image = Image.open(io.BytesIO(png(colour, "P")))
    assert image.mode == "P"
    assert pixels_of(image).shape == (3, 4, 4)
    assert pixels_of(image)[0].float().mean() > 150


def test_greys_and_floats():
    grey = pixels_of(Image.fromarray(np.full((2, 3), 7, np.uint8)))
    assert grey.shape == (1, 2, 3)
    assert grey.dtype == torch.uint8
    assert pixels_of([[0.5, 1.0]]).dtype == torch.float32
    for wrong in ("text", 3, None, [1, 2]):
        with pytest.raises(DataError, match="an image column holds"):
            pixels_of(wrong)


def test_scales_that_cannot_be():
    for wrong in (lambda: Scale(0.0, [0.5], [0.5]), lambda: Scale(1.0, [0.5], [0.0])):
        with pytest.raises(DataError, match="expected positive numbers"):
            wrong()
    with pytest.raises(RecipeError, match="mean has 3 numbers, and the images have 1 channels"):
        classification(data="sklearn.digits", mean=[0.5, 0.5, 0.5])


def test_columns(tmp_path):
    with pytest.raises(UnknownName, match=r"unknown column 'imag'\. Nearest: 'image'"):
        classification(data="sklearn.digits", image="imag")
    with pytest.raises(DataError, match=r"no image column among features, label; say .* task.image=<column>"):
        classification(data="sklearn.breast_cancer")
    with pytest.raises(DataError, match="an image column holds"):
        classification(data="sklearn.digits", image="label")
    write(tmp_path, "train", [png(image) for image in colours(4)], ["cat", "dog", "cat", "dog"])
    with pytest.raises(DataError, match=r"the label column 'fine_label' holds 'cat', .*class_encode_column"):
        classification(data=str(tmp_path))


def test_labels_out_of_range_in_another_split(tmp_path):
    images = [png(image) for image in colours(20)]
    write(tmp_path, "train", images, [i % 2 for i in range(20)])
    write(tmp_path, "test", images[:2], [0, 2])
    with pytest.raises(DataError, match="test has the label 2"):
        classification(data=str(tmp_path))


def test_a_set_without_a_split_to_train_on(tmp_path):
    write(tmp_path, "test", [png(image) for image in colours(2)], [0, 1])
    with pytest.raises(UnknownName, match=r"unknown split 'train'.*Known: test"):
        classification(data=str(tmp_path))


def test_mnist(shared_data, tmp_path):
    table = datasets.load_dataset(
        "parquet", data_files=str(shared_data / "mnist" / "test.parquet"), split="train[:300]"
    )
    table.to_parquet(tmp_path / "train.parquet")
    problem = classification(data=str(tmp_path), validation=30, test=60)
    assert (len(problem.train), len(problem.validation), len(problem.test)) == (210, 30, 60)
    assert problem.train.batch([0]).inputs.shape == (1, 1, 28, 28)
    assert problem.num_classes == 10


def test_images_are_brought_to_a_size():
    half = classification(data="sklearn.digits", size=4)
    whole = classification(data="sklearn.digits")
    small, large = half.train.batch([0, 1]).inputs, whole.train.batch([0, 1]).inputs
    assert small.shape == (2, 1, 4, 4)
    torch.testing.assert_close(small, torch.nn.functional.avg_pool2d(large, 2))
    odd = Image.fromarray(np.arange(30, dtype=np.uint8).reshape(5, 6))
    assert pixels_of(odd, 3).shape == (1, 3, 3)
    assert pixels_of(odd, 3).dtype == torch.uint8
    with pytest.raises(DataError, match="expected 1 or more"):
        pixels_of(odd, 0)


def test_a_part_of_the_training_images():
    part, whole = classification(data="sklearn.digits", train=200), classification(data="sklearn.digits")
    assert len(part.train) == 200
    assert set(part.train.batch(range(200)).ids.tolist()) < set(whole.train.batch(range(1294)).ids.tolist())
    assert part.test.fingerprint() == whole.test.fingerprint()
    counts = torch.bincount(part.train.labels)
    assert counts.max() - counts.min() <= 3


def test_an_image_that_cannot_be_read_is_named(tmp_path):
    images = [png(image) for image in colours(40)]
    images[11] = images[11][:30]
    write(tmp_path, "train", images, [i % 2 for i in range(40)])
    with pytest.raises(DataError, match=r"the img in row \d+ cannot be read .*take the row out"):
        classification(data=str(tmp_path))


def test_an_image_that_is_cut_short_is_named_with_its_file_when_it_is_wanted(tmp_path):
    for number, image in enumerate(colours(6)):
        content = png(image)
        (tmp_path / f"{number}.png").write_bytes(content[:30] if number == 4 else content)
    paths = [str(tmp_path / f"{number}.png") for number in range(6)]
    table = datasets.Dataset.from_dict({"img": paths, "label": [0] * 6}).cast_column("img", datasets.Image())
    held = Decoded(table, "img", "label", Scale(255.0, [0] * 3, [1] * 3), num_classes=1)
    assert len(held.batch([0, 5])) == 2
    with pytest.raises(DataError, match=r"the img in row 4, .*4\.png, cannot be read"):
        held.batch([3, 4])
