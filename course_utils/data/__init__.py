"""Where the course's images come from, and what to know about them before training.

`catalog` knows the data sets by name, `datasets` reads any folder or index file, `splits` divides
it, `statistics` counts and measures it, `integrity` finds what is wrong with it.
"""


class DataError(ValueError):
    """Something about the data that the user can mend; the message says what, and how."""
