"""Fields: how each feeds a network and measures it.

A task is a function that reads settings and data and returns a `Problem`; `classification` is what every
field with classes shares, `networks` are architectures that several fields use. No task imports another.
"""
