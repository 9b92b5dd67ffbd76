"""A copy of the course that a test may change, and a server for its files."""

import contextlib
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

from tools.notebooks import ROOT

UNWANTED = (".*", "build", "dist", "*.egg-info", "__pycache__")


def copy_course(folder):
    """Copy the course without its environment and its outputs."""
    return shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*UNWANTED))


class Quiet(SimpleHTTPRequestHandler):
    """Serves files without a log."""

    def log_message(self, *args):
        """Write no log."""


@contextlib.contextmanager
def served(folder):
    """Serve a folder on this machine; yield the address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
