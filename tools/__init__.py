"""The machinery of the course; `python -m tools --help` lists the commands."""
