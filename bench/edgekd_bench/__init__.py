"""How fast a model file is, on which engine and machine, and how sensitive it is on that very engine.

`bench` is the station, `bench_files` measures any .tflite files; the method is in bench/README.md.
"""

from __future__ import annotations

from edgekd_bench.record import Backend, BenchRecord, Status, read_bench
from edgekd_bench.station import bench, bench_files

__all__ = ["Backend", "BenchRecord", "Status", "bench", "bench_files", "read_bench"]
