"""One named choice of task, teacher, student and scheme, plus numbers: data, not code.

`spec` is the typed model, `load` reads YAML or Python into it, `names` finds what a recipe names, `build`
makes a study of it, and `rebuild` gives the student of a finished run back.
"""

from tutelage.recipes.build import build, student_of, view_of
from tutelage.recipes.load import load, name_of, names
from tutelage.recipes.parts import changer_of
from tutelage.recipes.spec import Recipe

__all__ = ["Recipe", "build", "changer_of", "load", "name_of", "names", "student_of", "view_of"]
