"""From a matplotlib figure to SVG that belongs to a page: its colours, its font, its own ids.

Charts are painted with sentinel colours that nobody would choose; afterwards each becomes a CSS variable,
so that a chart follows the page into dark mode. Everything is done on the parsed tree, never on the text:
a class name that looks like a colour, an id or a tag stays what it is.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

__all__ = ["COLOURS", "HALF", "clean", "draw", "frame", "legend"]

HALF = (4.75, 3.0)
"""Inches of a chart of the usual size: two stand side by side, and one fits a phone at full size."""

COLOURS = {
    "ink": "#010111",
    "muted": "#010112",
    "rule": "#010113",
    "teacher": "#010114",
    "against": "#010115",
    "primary": "#010116",
    "also-1": "#010117",
    "also-2": "#010118",
    "also-3": "#010119",
}
"""CSS variable -> the colour that stands for it until the figure is SVG."""

_FONT_SIZE = 11
_SWATCH, _LETTER = 42, 6.6
"""Points that a name in a legend takes beside its letters, and for each of them."""
_ROW = 0.23
"""Inches of a legend's row."""
_STYLE = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "text.usetex": False,
    "font.size": _FONT_SIZE,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "axes.edgecolor": COLOURS["rule"],
    "axes.labelcolor": COLOURS["muted"],
    "text.color": COLOURS["ink"],
    "xtick.color": COLOURS["rule"],
    "ytick.color": COLOURS["rule"],
    "xtick.labelcolor": COLOURS["muted"],
    "ytick.labelcolor": COLOURS["muted"],
    "grid.color": COLOURS["rule"],
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "ytick.major.size": 0,
    "xtick.major.size": 3,
    "legend.frameon": False,
    "legend.borderpad": 0,
    "lines.linewidth": 2,
}
_REFERENCE = re.compile(r"url\(#([^)]+)\)")


def clean(name: object, width: int = 22) -> str:
    """A name that is safe to draw: printable, on one line, at most `width` letters."""
    text = "".join(letter if letter.isprintable() else " " for letter in str(name)).strip()
    return text if len(text) <= width else text[: width - 1].rstrip() + "…"


def draw(name: str, title: str, paint: Callable[[Any], None], *, inches: tuple[float, float] = HALF) -> str:
    """A chart as an `<svg>` element for a page.

    Args:
        name: unique on the page; it prefixes every id.
        title: what the chart shows, for those who cannot see it.
        paint: draws on the axes it is given, in `COLOURS`.
        inches: width and height; 72 units of the picture are an inch. All charts of a page have one scale, so
            that their text has one size.
    """
    import matplotlib.style
    from matplotlib.figure import Figure

    stream = io.StringIO()
    # A glyph that the measuring font lacks is no reason to stop: the browser has other fonts.
    with warnings.catch_warnings(), matplotlib.style.context(["default", _STYLE | {"svg.hashsalt": name}]):
        warnings.simplefilter("ignore", UserWarning)
        figure = Figure(figsize=inches, layout="constrained")
        paint(figure.add_subplot())
        nothing = dict.fromkeys(["Date", "Creator", "Format", "Type"])
        figure.savefig(stream, format="svg", metadata=nothing)
    return _for_page(stream.getvalue(), name, title)


def frame(axes: Any, horizontal: str, vertical: str, metric: str = "") -> None:
    """Label the axes; a share is read in percent."""
    from matplotlib.ticker import PercentFormatter

    axes.set(xlabel=clean(horizontal, 40), ylabel=clean(vertical, 30))
    if any(part in metric for part in ("accuracy", "agreement", "recall")) and axes.get_ylim()[1] <= 2:
        axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
        limits = axes.get_ylim()
        axes.set_yticks([tick for tick in axes.get_yticks() if limits[0] <= tick <= min(limits[1], 1.0001)])
        axes.set_ylim(*limits)


def legend(axes: Any) -> None:
    """Name the lines above the axes, where they hide nothing; a figure grows with the rows of its legend."""
    handles, labels = axes.get_legend_handles_labels()
    figure = axes.figure
    each = _SWATCH + _LETTER * max(map(len, labels))
    columns = max(1, min(len(labels), int(72 * figure.get_figwidth() / each)))
    figure.set_figheight(figure.get_figheight() + _ROW * (-(-len(labels) // columns) - 1))
    figure.legend(
        handles, labels, loc="outside upper left", ncols=columns, handlelength=1.7, columnspacing=1.2
    )


def _for_page(text: str, name: str, title: str) -> str:
    root = ElementTree.fromstring(text)  # noqa: S314 - written by matplotlib a moment ago
    wanted = _referenced(root)
    for element in root.iter():
        element.tag = _local(element.tag)
        element.attrib = {_local(key): value for key, value in element.attrib.items()}
        _own_ids(element, name, wanted)
        if "style" in element.attrib:
            element.set("style", _restyle(element.attrib["style"]))
        if "d" in element.attrib:
            element.set("d", " ".join(element.attrib["d"].split()))
    for definitions in root.findall("defs"):
        for style in definitions.findall("style"):
            definitions.remove(style)
    view = root.attrib["viewBox"]
    root.attrib = {"class": "chart", "viewBox": view, "role": "img", "aria-labelledby": f"{name}-title"}
    root.attrib["style"] = f"--wide: {float(view.split()[2]):g}px"
    heading = ElementTree.Element("title", {"id": f"{name}-title"})
    heading.text = clean(title, 400)
    root.insert(0, heading)
    return ElementTree.tostring(root, encoding="unicode")


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _referenced(root: Any) -> set[str]:
    found = set()
    for element in root.iter():
        for key, value in element.attrib.items():
            found.update(_REFERENCE.findall(value))
            if _local(key) == "href":
                found.add(value.removeprefix("#"))
    return found


def _own_ids(element: Any, name: str, wanted: set[str]) -> None:
    known = element.attrib.pop("id", None)
    if known in wanted:
        element.set("id", f"{name}-{known}")
    if "href" in element.attrib:
        element.set("href", f"#{name}-{element.attrib['href'].removeprefix('#')}")
    if "clip-path" in element.attrib:
        element.set("clip-path", _REFERENCE.sub(rf"url(#{name}-\1)", element.attrib["clip-path"]))


def _restyle(style: str) -> str:
    kept = [part for part in style.split("; ") if not part.startswith("font-family")]
    text = "; ".join(kept)
    for variable, sentinel in COLOURS.items():
        text = text.replace(sentinel, f"var(--{variable})")
    return text
