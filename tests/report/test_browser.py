"""The page in a real browser, on a screen as narrow as a phone's."""

from __future__ import annotations

import html
import re
import shutil
import subprocess

import pytest

from tutelage.report import render

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
OPTIONS += ["--hide-scrollbars"]
MEASURE = """
<script>
onload = () => {
  const page = document.querySelector("iframe").contentDocument;
  const held = [...page.querySelectorAll("main *")].filter(
    each => !each.closest(".scroll, pre, .unseen, details:not([open]), .bar, svg")
      && each.getClientRects().length);
  const sizes = [...page.querySelectorAll("svg text")].map(text => {
    const svg = text.closest("svg"), unit = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
    return Math.round(10 * unit * parseFloat(getComputedStyle(text).fontSize)) / 10;
  });
  document.title = JSON.stringify({
    wide: page.documentElement.scrollWidth,
    over: held.filter(each => each.getBoundingClientRect().right > 391).map(each => each.tagName),
    sizes: [...new Set(sizes)],
  });
};
</script>
"""

pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here")]


@pytest.mark.parametrize("name", ["usual", "exits", "failed", "minimal"])
def test_nothing_leaves_a_phone_and_all_charts_have_one_size_of_text(sample, name, tmp_path):
    found = sample.RUNS[name]()
    page = html.escape(render(found, sample.details_of(found)))
    frame = f'<iframe srcdoc="{page}" style="border: 0; width: 390px; height: 900px"></iframe>{MEASURE}'
    path = tmp_path / "phone.html"
    path.write_text(f"<!doctype html><meta charset=utf-8>{frame}", encoding="utf-8")
    command = [str(BROWSER), *OPTIONS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", path.as_uri()]
    dumped = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    told = re.search(r"<title>({.*?})</title>", dumped)
    assert told is not None
    assert '"wide":390' in told[1]
    assert '"over":[]' in told[1]
    sizes = re.search(r'"sizes":\[(.*?)\]', told[1])
    assert sizes is not None
    assert all(float(size) >= 10.5 for size in filter(None, sizes[1].split(",")))
    assert len(sizes[1].split(",")) == 1
