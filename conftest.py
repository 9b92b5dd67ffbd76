"""For every run of pytest here, `pytest --nbval notebooks` too."""

import os

from course_utils.paths import spare_home

# Progress bars appear only in cells that are slow today: no stored output can hold them.
os.environ["COURSE_PROGRESS"] = "off"
spare_home()
