"""Our docstrings on the site: `Example:` holds code, `Shapes:` and `Source:` are paragraphs."""

import re
from typing import Any

import griffe


class Headings(griffe.Extension):
    """Change headings that the Google style does not know."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of a module, class, function or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = _rewritten(obj.docstring.value)


def _rewritten(text: str) -> str:
    text = re.sub(r"^Example:$", "Examples:", text, flags=re.MULTILINE)
    return re.sub(r"^(Shapes|Source):(?=[ ])", r"**\1:**", text, flags=re.MULTILINE)
