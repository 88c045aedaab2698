"""Benchmarks against named peers, all measured in one run; each prints one table.

`python -m bench` runs all, `python -m bench.start --json` one. A benchmark whose bound does not
hold exits 1.
"""
