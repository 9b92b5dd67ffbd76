"""A copy of the course to spoil, and a server for its files."""

import contextlib
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

from tools.lint_notebooks import NOTEBOOKS

ROOT = NOTEBOOKS.parent
UNWANTED = (".*", "build", "dist", "*.egg-info", "__pycache__")


def copy_course(folder):
    """Copy the course without its environment and without what it wrote."""
    return shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*UNWANTED))


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and says nothing of it."""

    def log_message(self, *args):
        """Say nothing."""


@contextlib.contextmanager
def served(folder):
    """Serve a folder on this computer; give the address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
