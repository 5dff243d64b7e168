"""What a run says for itself: one HTML page, and a table for the terminal.

`page` writes the page, `table` the terminal's view; both read the same plain dict and share `rows` and
`numbers`. The charts are drawn in `charts` and made fit for a page in `svg`.
"""

from tutelage.report.page import REPORT_NAME, render, write
from tutelage.report.table import summary

__all__ = ["REPORT_NAME", "render", "summary", "write"]
