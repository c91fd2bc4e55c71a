# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program in one file that prepares a backend for a reboot by itself: this collection's own code, and what it is to do.

At the time of a maintenance there may be no controller, no connection and no Ansible. So the sources that the preparation needs are packed
as they were loaded, from a checkout or from what Ansible sent, into one file that Python runs.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import io
import json
import zipfile
from importlib.machinery import ModuleSpec
from typing import Any, Dict, Iterator, List, Mapping, Optional, Set, Tuple

from .errors import JobRunnerError

OPTIONS = "options.json"
_ROOT = __name__.rpartition(".jobrunner.")[0]
_START = _ROOT + ".jobrunner.reboot_run"
_PACKAGE = "fieldops_runbooks"
_MAIN = "import sys\nfrom %s.jobrunner.reboot_run import main\nsys.exit(main(sys.argv[1:]))\n" % _PACKAGE
_EPOCH = (1980, 1, 1, 0, 0, 0)


def build(options: Mapping[str, Any]) -> bytes:
    """The same bytes for the same code and the same options."""
    files = {"__main__.py": _MAIN.encode(), OPTIONS: json.dumps(options, indent=1, sort_keys=True).encode()}
    files.update(_sources())
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), files[name])
    return packed.getvalue()


def options_of(path: str) -> Optional[Dict[str, Any]]:
    """What a program is to do; None when there is none, or it is none of these."""
    try:
        with zipfile.ZipFile(path) as archive:
            known = json.loads(archive.read(OPTIONS).decode())
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return None
    return known if isinstance(known, dict) else None


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _sources() -> Iterator[Tuple[str, bytes]]:
    """Files of every module that the start imports, at once or later, with their packages."""
    wanted: List[str] = [_START]
    seen: Set[str] = set()
    for name in wanted:  # grows as it is read
        if name in seen or not (name + ".").startswith(_ROOT + "."):
            continue
        seen.add(name)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            continue  # a name in a package, not a module of it
        is_package = spec.submodule_search_locations is not None
        source = _source(name, spec)
        path = name[len(_ROOT) :].replace(".", "/")
        yield _PACKAGE + path + ("/__init__.py" if is_package else ".py"), source
        wanted += _imported(name if is_package else name.rpartition(".")[0], source)
        wanted.append(name.rpartition(".")[0])


def _source(name: str, spec: ModuleSpec) -> bytes:
    try:
        data: bytes = spec.loader.get_data(spec.origin)  # type: ignore[union-attr]  # both of Python's loaders have it
    except (AttributeError, OSError) as exc:
        raise JobRunnerError("the source of %s cannot be read, so that no program can be made of it: %s" % (name, exc)) from exc
    return data


def _imported(package: str, source: bytes) -> Iterator[str]:
    """Modules of this collection that a source names, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package if node.level == 1 else package.rsplit(".", node.level - 1)[0]
            base = base + ("." + node.module if node.module else "")
            yield base
            if base.count(".") <= _ROOT.count(".") + 1:  # a package: its names may be modules
                yield from ("%s.%s" % (base, alias.name) for alias in node.names)
