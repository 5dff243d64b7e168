"""What a bare import costs, and what it offers."""

from __future__ import annotations

import subprocess
import sys

import pytest

import tutelage

OPTIONAL = [
    "transformers",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "tensorboard",
    "optuna",
    "torch_pruning",
    "matplotlib",
    "wandb",
]


def modules_after(code: str) -> set[str]:
    """The packages that are there after some code, in a process of its own."""
    code += "\nimport sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_public_names_are_pinned():
    assert sorted(tutelage.__all__) == [
        "Batch",
        "Compared",
        "Match",
        "Metric",
        "Outputs",
        "Run",
        "Tuned",
        "Turn",
        "TutelageError",
        "TutelageWarning",
        "compare",
        "compress",
        "distill",
        "label",
        "load",
        "tune",
    ]
    assert all(getattr(tutelage, name).__module__.startswith("tutelage.") for name in tutelage.__all__)
    assert tutelage.__version__


@pytest.mark.slow
def test_the_bare_import_pulls_in_no_optional_package():
    everything = modules_after("from tutelage import *")
    assert everything.isdisjoint(OPTIONAL)
    # torch itself takes pynvml where it is installed
    assert "pynvml" not in everything - modules_after("import torch")
