# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every task pays before and after its module's work, made less. The packages beside this file import it before anything else of theirs.

Ansible sends our modules in a zip, and Python's zipimport compiles each of them twice: the finder compiles a module only to learn its path and throws the code
away, the loader compiles it again. From here on the loader takes what the finder has made.
"""

from __future__ import annotations

import gc
import zipimport
from typing import Any, Callable, Dict, Tuple


def compile_once(module: Any) -> None:
    """Let ``zipimport`` give out each module's code twice and make it once. A Python that does it another way is left alone."""
    make: Any = getattr(module, "_get_module_code", None)
    code = getattr(make, "__code__", None)
    if code is not None and code.co_varnames[: code.co_argcount] == ("self", "fullname"):
        vars(module)["_get_module_code"] = in_pairs(make)


def in_pairs(make: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    """The same function; what it made for one caller it hands to the next who asks for the same, and then forgets it."""
    made: Dict[Tuple[Any, str], Any] = {}

    def take(importer: Any, name: str) -> Any:
        found = made.pop((importer, name), None)
        if found is None:
            found = made[importer, name] = make(importer, name)
        return found

    return take


def leave_in_peace(collector: Any) -> None:
    """What Ansible has loaded stays until the process ends, so nothing is gained by searching it for garbage, least of all at the very end."""
    freeze = getattr(collector, "freeze", None)
    if freeze is not None:
        freeze()


if isinstance(getattr(__spec__, "loader", None), zipimport.zipimporter):  # a task on a node; neither the controller nor a test
    compile_once(zipimport)
    leave_in_peace(gc)
