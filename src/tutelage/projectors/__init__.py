"""Maps from a student's feature to its teacher's space; shapes are found by a dry run (`fit`)."""

from tutelage.projectors.conv import Conv
from tutelage.projectors.fit import fit
from tutelage.projectors.linear import Linear

__all__ = ["Conv", "Linear", "fit"]
