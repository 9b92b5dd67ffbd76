"""Sphinx settings of the website; `python -m tools site` builds it, see tools/site.py."""

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

from tools.pages import block_equation
from tools.publish import read_address

project = "Image classification with PyTorch"
author = "the authors of the course"
language = "en"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
nb_execution_mode = "off"  # the notebooks are committed with their outputs
myst_enable_extensions = ["dollarmath"]
html_math_renderer = "mathml"  # see setup; MathJax would be loaded from the web
nb_ipywidgets_js = {}  # there are no widgets, and nothing is to be fetched
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # a notebook may begin a cell with a heading of level 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True

html_theme = "sphinx_book_theme"
html_title = project
html_favicon = "_static/favicon.svg"
html_static_path = ["_static"]
html_css_files = ["course.css"]
html_show_sphinx = False
html_copy_source = False
html_context = {"default_mode": "auto"}
html_theme_options = {
    "use_download_button": False,
    "use_fullscreen_button": False,
    "navbar_persistent": [],  # the search field stands in the sidebar
    "show_toc_level": 2,
    "show_navbar_depth": 1,
}
if address := read_address():
    html_theme_options |= {
        "repository_url": address.url,
        "repository_branch": address.branch,
        "path_to_docs": "",
        "use_repository_button": True,
        "launch_buttons": {
            "colab_url": "https://colab.research.google.com",
            "binderhub_url": "https://mybinder.org",
            "notebook_interface": "jupyterlab",
        },
    }
copybutton_exclude = ".linenos, .gp, .go"


def setup(app: Sphinx) -> None:
    """Render equations as MathML, which needs no script."""

    def inline(writer: HTML5Translator, node: nodes.math) -> None:
        writer.body.append(convert(node.astext()))
        raise nodes.SkipNode

    def block(writer: HTML5Translator, node: nodes.math_block) -> None:
        writer.body.append(block_equation(node.astext()))
        raise nodes.SkipNode

    app.add_html_math_renderer("mathml", (inline, None), (block, None))
