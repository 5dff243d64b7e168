"""What this machine's processor lacks for arithmetic in 8 bits."""

from __future__ import annotations

import platform
from functools import cache
from typing import Any

import torch

__all__ = ["missing_instructions"]

_VNNI = ("avx512_vnni", "avx_vnni", "avx_vnni_int8", "amx_int8")


@cache
def missing_instructions() -> str:
    """The instructions for INT8 that this processor lacks, in words; empty where it has some.

    With VNNI (AVX512-VNNI, AVX-VNNI) an x86 processor multiplies and adds 8-bit numbers in one instruction;
    without it, INT8 is often no faster than float32. Of others than x86 nothing is known here.
    """
    if platform.machine().lower() not in ("x86_64", "amd64", "i686"):
        return ""
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    if not capabilities or any(capabilities.get(name) for name in _VNNI):
        return ""
    return "VNNI" if capabilities.get("avx512_f") else "VNNI and AVX512"
