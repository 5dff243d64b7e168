"""Runs side by side: what differs between them, which is better, what each costs.

`records` reads run folders and measures from JSON, `pools` puts runs of one recipe together over their
seeds, `settings` finds what differs, `pairs` holds outcomes against each other by evaluation's interval,
`flips` names the examples on which they part, `networks` says what each reaches, `costs` what training took,
`caveats` what makes it doubtful. `compare` puts it together as a plain dict;
`rows`, `table`, `page`, `pareto` and `sheet` show it.
"""

from tutelage.comparison.compare import Compared, compare

__all__ = ["Compared", "compare"]
