"""What a file of somebody else's may do: name code, name files, be read as text. One place for each.

A recipe, a run's folder, a store of answers and a file of weights come by mail and from the web. None of them
runs anything, writes outside its folder or takes more room than it may; where code of theirs is wanted, the
user's own command says so.
"""

from tutelage.trust.code import allowed, is_allowed, kept, may_run, outside_name, said_in, trusting
from tutelage.trust.limits import UNPACKED, Unpacked, most_unpacked
from tutelage.trust.names import inside, plain_name, read_sha256, refuse_links
from tutelage.trust.plain import parse_json, read_yaml
from tutelage.trust.words import printable

__all__ = [
    "UNPACKED",
    "Unpacked",
    "allowed",
    "inside",
    "is_allowed",
    "kept",
    "may_run",
    "most_unpacked",
    "outside_name",
    "parse_json",
    "plain_name",
    "printable",
    "read_sha256",
    "read_yaml",
    "refuse_links",
    "said_in",
    "trusting",
]
