"""The examples in docstrings run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import tutelage

MODULES = [
    name
    for _, name, _ in pkgutil.walk_packages(tutelage.__path__, "tutelage.")
    if not name.endswith("__main__")
]


@pytest.mark.parametrize("name", ["tutelage", *MODULES])
def test_docstring_examples(name):
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS, exclude_empty=True)
    assert result.failed == 0
