# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation as a site: ``site.py COLLECTION``, of that copy of the collection, to ``.cache/site``. A warning is an error; nothing is fetched.

All modules, plugins and roles come from their documentation by antsibull-docs; the pages are Markdown, and a new one below ``docs`` is taken up by itself.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from project import CACHE

SITE = CACHE / "site"
PAGES = ("README.md", "CONTRIBUTING.md", "docs/*.md", "roles/*/README.md", "benchmarks/README.md")
FILES = ("docs/images", "docs/schemas")
LINK = re.compile(r"\[([^][]+)\]\(([^)#:\s]+)(#[^)\s]*)?\)")
CONF = """
from pygments.lexers.special import TextLexer
from sphinx.highlighting import lexers

project = title = html_title = "fieldops.runbooks"
copyright = "the fieldops.runbooks contributors"
extensions = ["myst_parser", "sphinx_antsibull_ext"]
myst_heading_anchors = 4
html_theme = "sphinx_rtd_theme"
html_copy_source = False
html_use_index = False
highlight_language = "text"
pygments_style = "sphinx"
# What leads to Ansible's own pages, and to its variables, stays text: their index would have to be fetched.
nitpicky = False
suppress_warnings = ["ref.ref", "ref.envvar", "myst.header", "misc.highlighting_failure"]
lexers["mermaid"] = lexers["YAML+Jinja"] = TextLexer()
"""
INDEX = """
fieldops.runbooks
=================

.. toctree::
   :maxdepth: 1
   :caption: Start

   docs/getting_started
   README

.. toctree::
   :maxdepth: 1
   :caption: Pages
   :glob:

   docs/*

.. toctree::
   :maxdepth: 1
   :caption: Roles' variables
   :glob:

   roles/*/README

.. toctree::
   :maxdepth: 1
   :caption: Modules, plugins and roles

   collection/index

.. toctree::
   :maxdepth: 1
   :caption: Working on it

   CONTRIBUTING
   benchmarks/README
"""


def gather(collection: Path, source: Path) -> None:
    """The pages, where they are in the checkout. A link to what is no page of the site becomes the name of what it leads to."""
    pages = {page.relative_to(collection) for pattern in PAGES for page in collection.glob(pattern)}
    for name in FILES:
        shutil.copytree(collection / name, source / name)
    for page in pages:

        def led(found: re.Match[str], folder: Path = page.parent) -> str:
            text, target = found.group(1, 2)
            place = Path(os.path.normpath(folder / target))
            if not (collection / place).exists():
                raise SystemExit(f"{folder}: a link leads to {target}, which there is not")
            known = place in pages or any(str(place).startswith(f"{name}/") for name in FILES)
            return found.group(0) if known else text if str(place) in text else f"{text} (`{place}`)"

        there = source / page
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_text(LINK.sub(led, (collection / page).read_text(encoding="utf-8")), encoding="utf-8")
    (source / "conf.py").write_text(CONF, encoding="utf-8")
    (source / "index.rst").write_text(INDEX, encoding="utf-8")


def build(collection: Path) -> int:
    """The site, in place of the one before."""
    with tempfile.TemporaryDirectory(prefix="site-") as folder:
        source = Path(folder) / "source"
        reference = source / "collection"
        reference.mkdir(parents=True, mode=0o755)
        gather(collection, source)
        name = ".".join(collection.parts[-2:])
        options = ["--use-current", "--squash-hierarchy", "--fail-on-error", "--no-add-antsibull-docs-version", "--dest-dir", str(reference)]
        subprocess.run(["antsibull-docs", "collection", *options, name], check=True)
        shutil.rmtree(SITE, ignore_errors=True)
        done = subprocess.run(["sphinx-build", "-q", "-b", "html", "--fail-on-warning", "-d", f"{folder}/doctrees", str(source), str(SITE)], check=False)
        return done.returncode


if __name__ == "__main__":
    sys.exit(build(Path(sys.argv[1]).resolve()))
