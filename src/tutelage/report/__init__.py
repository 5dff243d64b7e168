"""What a run says for itself: one HTML page, and a table for the terminal.

`page` writes the page, `table` the terminal's view; both read the same plain dict, which `upgrade` brings to
today's format. They share `rows` (the comparison), `verdicts` (words and figures), `roles` (which outcome
plays which part) and `numbers`. What the page draws is chosen in `looks`, drawn in `charts` and `trade_off`,
and made fit for a page in `svg`.
"""

from tutelage.report.page import REPORT_NAME, render, write
from tutelage.report.table import summary
from tutelage.report.upgrade import FORMAT, upgraded

__all__ = ["FORMAT", "REPORT_NAME", "render", "summary", "upgraded", "write"]
