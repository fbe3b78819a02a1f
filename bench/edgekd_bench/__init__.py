"""How fast a model file is, on which engine and machine, and how sensitive it is on that very engine.

`edgekd_bench.station` holds the station `bench` and `bench_files` for anybody's files; the method is in
bench/README.md.
"""
