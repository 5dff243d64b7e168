"""The guide's table of what may be brought is that of the tests; run this file to write it again."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "guide" / "what-may-be-brought.md"
TESTS = {
    "Tensors, loaders, networks": "test_what_may_be_brought",
    "Frames and models of tables": "test_frames",
}


def ways(name: str) -> dict[str, Any]:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tests" / "runs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[name] = module  # dataclasses look their module up
    sys.path.insert(0, str(ROOT / "tests" / "runs"))  # what they share lies there
    spec.loader.exec_module(module)
    return module.WAYS


def page() -> str:
    lines = [
        "# What may be brought",
        "",
        "Each line is a test: it brings that to `tl.distill`, and is served, judged by the metric that is",
        "named, or refused before anything trains, with a message that says what came, what was expected and",
        "what to change; its words stand here in part.",
    ]
    for title, name in TESTS.items():
        lines += ["", f"## {title}", "", "| what comes | what becomes of it |", "|---|---|"]
        for way, held in ways(name).items():
            said = held.said.replace("\\", "").replace("|", "\\|")
            lines.append(f"| {way} | {'served: ' + said if held.served else 'refused: “… ' + said + ' …”'} |")
    return "\n".join(lines) + "\n"


def test_the_table_is_that_of_the_tests():
    pytest.importorskip("xgboost")
    assert PAGE.read_text("utf-8") == page()
    assert sum(len(ways(name)) for name in TESTS.values()) >= 60


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
