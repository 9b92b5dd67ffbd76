"""How fast the course is, against the way tutorials do it and against other libraries.

`python -m benchmarks` (or `make bench`) runs all comparisons; `--help` says what there is.
"""
