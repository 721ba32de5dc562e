"""How Sphinx builds the pages: plain Markdown, which reads as well where the repository is shown. See `make docs`."""

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS / "tools"), str(DOCS.parent / "generator")]

import contents  # noqa: E402

from canaryfleet import __version__  # noqa: E402

project = "canaryfleet"
author = "the founders of canaryfleet"
release = __version__
extensions = ["myst_parser"]
exclude_patterns = ["build", "tools"]
nitpicky = True

myst_heading_anchors = 4
myst_links_external_new_tab = False

html_theme = "furo"
html_title = f"canaryfleet {release}"
html_static_path = ["static"]
html_css_files = ["pages.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_last_updated_fmt = None
pygments_style = "friendly"
pygments_dark_style = "github-dark"
highlight_language = "text"


def prepare(_: Sphinx, name: str, source: list[str]) -> None:
    """The navigation comes from where docs/index.md has its list from; folders and pages elsewhere are not built."""

    def link(found: re.Match[str]) -> str:
        target = (DOCS / name).parent.joinpath(found["to"]).resolve()
        elsewhere = not target.is_relative_to(DOCS) and (target.is_dir() or target.suffix == ".md")
        return found["text"] if elsewhere else found[0]

    source[0] = re.sub(r"\[(?P<text>[^\[\]]+)\]\((?P<to>\.\./[^()\s#]+)(#[^()\s]*)?\)", link, source[0])
    if name == "index":
        source[0] += contents.trees()


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", prepare)
