# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whoever writes a parser has it fuzzed: a function of module_utils that is called parse, read, decode or the like, and takes text, is in the list."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from .parsers import PARSERS

ROOT = Path(__file__).parents[3] / "plugins" / "module_utils"
READS = re.compile(r"(parse|read|decode|decoded|split|from|entries|rows|summary|blocked|jobs_of|blocks_of|names_in|packages_in|cluster_of|line_of)(_\w+)?")
TEXT = re.compile(r"str|bytes|(Iterable|Sequence)\[(str|bytes)\]|Optional\[str\]")
NAMES = {"text", "data", "raw", "line", "lines", "xml", "value", "der_or_pem", "record", "output"}
ELSEWHERE = {
    "fits/addresses.py:split": "tests/unit/plugins/module_utils/fits/test_addresses.py",
    "libvirt/network_plan.py:split": "an option",
    "motr/btree.py:parse_node": "tests/unit/plugins/module_utils/motr/test_btree.py",
    "motr/record_state.py:decode": "an option",
    "motr/source.py:parse_address": "an option",
    "procedure/windows.py:parse": "tests/unit/plugins/module_utils/procedure/test_windows.py",
}
"""Where else it is fuzzed by hypothesis, or that it reads what a person writes into a playbook."""


def parsers() -> Iterator[str]:
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and READS.fullmatch(node.name) and node.args.args:
                first = node.args.args[0]
                if first.arg in NAMES and first.annotation and TEXT.fullmatch(ast.unparse(first.annotation)):
                    yield f"{path.relative_to(ROOT)}:{node.name}"


def test_every_parser_is_fuzzed() -> None:
    known = {parser.name.partition(",")[0] for parser in PARSERS} | set(ELSEWHERE)
    found = set(parsers())
    assert len(found) > 30, "the parsers were not found"
    assert not found - known, "add them to tests/unit/fuzz/parsers.py"


def test_those_fuzzed_elsewhere_are() -> None:
    repository = ROOT.parents[1]
    for name, where in ELSEWHERE.items():
        assert (ROOT / name.partition(":")[0]).is_file(), name
        assert where == "an option" or "hypothesis" in (repository / where).read_text(encoding="utf-8"), name
