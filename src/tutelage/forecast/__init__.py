"""How long a run will take, how much room it needs, and whether it pays to store the teacher's answers."""

from tutelage.forecast.break_even import break_even
from tutelage.forecast.forecast import forecast

__all__ = ["break_even", "forecast"]
