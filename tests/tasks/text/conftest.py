"""Sentences about animals, whose class is whether they are kind."""

from __future__ import annotations

import datasets
import pytest

ANIMALS = ("cat", "dog", "owl", "fox", "bee", "cow", "hen", "ant")
KIND, RUDE = ("nice", "sweet", "lovely"), ("nasty", "mean", "horrid")


def rows_of(words):
    return [
        f"the {a} was {word}" + " to us" * (number % 4)
        for number, (a, word) in enumerate((a, word) for a in ANIMALS for word in words)
    ]


@pytest.fixture(scope="session")
def sentences():
    """A table of `sentence` and `label`, both classes mixed."""
    held = [(text, 1) for text in rows_of(KIND)] + [(text, 0) for text in rows_of(RUDE)]
    table = datasets.Dataset.from_dict(
        {"sentence": [text for text, _ in held], "label": [n for _, n in held]}
    )
    return table.shuffle(seed=0)


@pytest.fixture(scope="session")
def folder(sentences, tmp_path_factory):
    """The same as a Parquet file in a folder."""
    to = tmp_path_factory.mktemp("sentences")
    sentences.to_parquet(to / "train.parquet")
    return str(to)
