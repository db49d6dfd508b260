"""How the documentation is built: ``python -m sphinx -W docs OUT``."""

import os
import sys
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "extensions"))
# Pages call daskred in a shell: the one of this environment.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

project = "daskred"
author = "The daskred developers"
copyright = author  # noqa: A001 - Sphinx calls it so
release = version = metadata.version("daskred")

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "told_once",
]
exclude_patterns = ["_build", "extensions"]
html_theme = "sphinx_book_theme"
html_title = "daskred"
html_theme_options = {"use_download_button": False, "show_toc_level": 2}
html_static_path: list[str] = []
smartquotes = False  # options keep their hyphens

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
# Pages are run as they are read: what they show is what comes out.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
