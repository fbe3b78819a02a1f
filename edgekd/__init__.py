"""edgekd: put a lesion classifier on a phone and prove what it lost on the way.

    data = edgekd.load("skin/", out="runs/skin")
    teacher = edgekd.teach(data)
    student = edgekd.distill(data, teacher)
    quantized = edgekd.qat(data, student)
    files = edgekd.export(data, student, quantized)
    verdicts = edgekd.verify(data, files)
    records = edgekd.bench(data, files)

Nothing heavy is imported before the first call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgekd.api import bench, distill, export, load, qat, teach, verify

__all__ = ["bench", "distill", "export", "load", "qat", "teach", "verify"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from edgekd import api

        return getattr(api, name)
    raise AttributeError(f"module 'edgekd' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
