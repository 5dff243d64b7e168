"""`tutelage report`: the page and the table of a run, again."""

from __future__ import annotations

from tutelage.cli import output
from tutelage.cli.options import AsJson, RunFolder

__all__ = ["report"]


def report(run_dir: RunFolder, as_json: AsJson = False) -> None:
    """Write report.html of a finished run again from its numbers, and print the comparison."""
    with output.only_results():
        from tutelage import report as pages
        from tutelage.runs.folder import read_run

        results = {**read_run(run_dir, "results.json"), "out": str(run_dir)}  # it may have been moved
        pages.write(results, read_run(run_dir, "details.json"), run_dir / pages.REPORT_NAME)
    if as_json:
        output.print_json(results)
    else:
        output.print_rich(pages.summary(results))
