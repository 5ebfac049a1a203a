"""The settings of the documentation site; `make docs` builds it. What it needs beyond Sphinx is in docs/builder/."""

import os
import sys
from pathlib import Path

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path[:0] = [str(DOCS), str(ROOT)]
# The lessons run in processes of their own, and import this folder.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))

import microgradrnn  # noqa: E402  (only now is the folder on the path)

project = "microgradrnn"
author = "The microgradrnn authors"
copyright = author
version = release = microgradrnn.__version__
language = "en"

extensions = [
    "myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_design", "sphinx_copybutton",
    "builder.accessible", "builder.api", "builder.formulas", "builder.languages", "builder.lessons", "builder.live",
    "builder.pictures", "builder.sources",
]  # fmt: skip
exclude_patterns = ["conf.py", "builder/**", "**/.ipynb_checkpoints"]

# Pages are plain Markdown, which GitHub shows too. Headings have the anchors that GitHub gives them.
myst_enable_extensions = ["colon_fence", "dollarmath"]
html_math_renderer = "mathml"
myst_heading_anchors = 4

# Lessons are Python files in jupytext's percent format, run when the site is built; an error in a cell stops the build.
nb_custom_formats = {".py": ["jupytext.reads", {"fmt": "py:percent"}]}
nb_execution_mode = "cache"
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_execution_in_temp = True
nb_merge_streams = True
nb_code_prompt_show = "Show the solution"
nb_code_prompt_hide = "Hide the solution"

# Docstrings are in Google's style; a name in single backticks is a link, if it is public.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
toc_object_entries_show_parents = "hide"
maximum_signature_line_length = 88

html_theme = "pydata_sphinx_theme"
html_title = project
html_show_sourcelink = False
html_copy_source = False
html_static_path = ["static"]
html_css_files = ["site.css"]
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 6,  # all of them
    "navbar_persistent": ["search-button"],
    "navbar_end": ["theme-switcher"],
    "show_nav_level": 1,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_prev_next": True,
}
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system is, until chosen
copybutton_exclude = ".linenos, .gp, .go"  # a copied example is what is typed: no prompts, no output
