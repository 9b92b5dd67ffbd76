"""Benchmarks of the course against other code: `python -m benchmarks`."""
