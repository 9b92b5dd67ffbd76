"""For every run of pytest here, `pytest --nbval notebooks` too."""

import os

# Progress bars appear only in cells that are slow today: no stored output can hold them.
os.environ["COURSE_PROGRESS"] = "off"
