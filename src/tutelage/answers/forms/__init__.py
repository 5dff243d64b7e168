"""Ways to keep a teacher's logits: all of them, the greatest, or a fair sample.

A form turns rows of logits into named columns, and columns back into what a loss can read. Each says how many
bytes a row takes, and none looks at the rows beside it, so that answers can be read in any order.
"""

from tutelage.answers.forms.dense import Dense
from tutelage.answers.forms.form import Form
from tutelage.answers.forms.names import form_of
from tutelage.answers.forms.sampled import Sampled
from tutelage.answers.forms.topk import TopK

__all__ = ["Dense", "Form", "Sampled", "TopK", "form_of"]
