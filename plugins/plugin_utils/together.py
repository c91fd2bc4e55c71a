# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes one module out of several of this collection. Pure, but for C(written)."""

from __future__ import annotations

import ast
import hashlib
import os
from typing import Dict, Iterable, List, Mapping, Tuple

from . import carrier

PLUGINS = "ansible_collections.fieldops.runbooks.plugins."
TOLD = ("DOCUMENTATION", "EXAMPLES", "RETURN")


def module_of(texts: Mapping[str, str]) -> str:
    """The text of the module that runs these. What they import stands in it where Ansible sees it, and is imported before it forks."""
    trees = {name: ast.parse(text) for name, text in texts.items()}
    plain = {name: _undocumented(tree) for name, tree in trees.items()}
    carried = _read(os.path.splitext(carrier.__file__)[0] + ".py")
    return "\n".join([carried, *_imports(trees.values()), "main(%r)" % plain, ""])


def _undocumented(tree: ast.Module) -> str:
    """What runs of it: documentation is read on the controller only."""
    body = [node for node in tree.body if not (isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in TOLD)]
    return ast.unparse(ast.Module(body=body, type_ignores=[]))


def _imports(trees: Iterable[ast.AST]) -> List[str]:
    """What any of the modules imports, by full names: relative ones mean something else in another place."""
    found: Dict[str, None] = {}
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level == 2 and node.module:
                name = PLUGINS + node.module
            elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("ansible.module_utils"):
                name = node.module
            else:
                continue
            found.update(dict.fromkeys("from %s import %s  # noqa: F401" % (name, alias.name) for alias in node.names))
    return list(found)


def written(paths: Mapping[str, str], directory: str) -> Tuple[str, str]:
    """Put the module that runs these where Ansible finds it; returns that folder and the module's name. It is made once in a run."""
    folder = os.path.join(directory, "fieldops_looks")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    name = "fieldops_looks_" + hashlib.sha256(repr(sorted(paths.items())).encode("utf-8")).hexdigest()[:16]
    path = os.path.join(folder, name + ".py")
    if not os.path.exists(path):
        draft = "%s.%d" % (path, os.getpid())
        with open(draft, "w", encoding="utf-8") as file:
            file.write(module_of({name: _read(each) for name, each in paths.items()}))
        os.replace(draft, path)  # another host's task may be at the same
    return folder, name


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()
