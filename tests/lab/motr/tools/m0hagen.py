# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`m0hagen`: a description of an HA message in YAML becomes xcode. It asserts on whatever is no whole message, as the real one does."""

from __future__ import annotations

import re
import sys
from typing import Any

import yaml

STATES = ("unknown", "online", "failed", "transient", "repair", "repaired", "rebalance", "dtm-recovering")
_FID = re.compile(r"^\^[acdegjklnoprsStv]\|(\d+)[:.](\d+)$")
_FIELDS = {"fid", "process", "service", "time", "epoch", "tag", "data"}


class Loader(yaml.SafeLoader):
    """With the tags of m0hagen."""


def _fid(loader: Loader, node: Any) -> tuple[int, int]:
    if isinstance(node, yaml.SequenceNode):
        high, low = loader.construct_sequence(node)
        return int(high), int(low)
    found = _FID.match(node.value)
    assert found, node.value
    return ord(node.value[1]) << 56 | int(found[1]), int(found[2])


def _notes(loader: Loader, node: Any) -> dict[str, Any]:
    given = loader.construct_mapping(node, deep=True)
    assert set(given) - {"get_id"} == {"notes", "ignore_same_state"}
    for note in given["notes"]:
        assert set(note) == {"fid", "state"} and isinstance(note["fid"], tuple) and note["fid"][0] >> 56, f"Invalid item: {note!r}"
        assert note["state"] in STATES
    return {"nvec_set": given}


def _message(loader: Loader, node: Any) -> dict[str, Any]:
    given = loader.construct_mapping(node, deep=True)
    assert set(given) == _FIELDS and "nvec_set" in given["data"]
    return {"ha_msg": given}


Loader.add_constructor("!fid", _fid)
Loader.add_implicit_resolver("!fid", _FID, None)
Loader.add_constructor("!ha_nvec_set", _notes)
Loader.add_constructor("!ha_msg", _message)


def main() -> int:
    """The command."""
    told = yaml.load(sys.stdin.read(), Loader)  # noqa: S506 - it is a safe one
    assert isinstance(told, dict) and "ha_msg" in told
    given = told["ha_msg"]["data"]["nvec_set"]
    notes = ", ".join(f"(({note['fid'][0]:#x}, {note['fid'][1]:#x}), {STATES.index(note['state'])})" for note in given["notes"])
    head = ", ".join("(%#x, %#x)" % told["ha_msg"][name] for name in ("fid", "process", "service"))
    print(f"({head}, 0, 0, {{2| (0, 0, {int(given['ignore_same_state'])}, {len(given['notes'])}, <{notes}>)}}, 0)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
