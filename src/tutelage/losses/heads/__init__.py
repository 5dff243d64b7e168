"""Losses of logits that nobody has computed yet: some items at a time, the gradient in the forward pass.

`compare` puts a divergence of `slopes` between two sides, `sparse` does where few of the teacher's classes
are known, `mixed` adds labels; `chunks` works them off. `liger` is another way on a GPU; `fastest` chooses.
"""
