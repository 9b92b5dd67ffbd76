"""Tools that build, check and publish the course; `python -m tools --help` lists the commands."""
