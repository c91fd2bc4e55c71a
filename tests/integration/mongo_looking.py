# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking a laboratory's mongod by the module, and trying whether it does what the module says."""

from __future__ import annotations

from typing import Any

from lab.mongo import Mongod
from pymongo.errors import PyMongoError
from support import run_ok

MODULE = "mongodb_replica_set_info"


def look(mongod: Mongod, check: bool = False, **options: Any) -> dict[str, Any]:
    return run_ok(MODULE, {**mongod.params, "timeout": 30, **options}, check)


def expect(mongod: Mongod, condition: str, **options: Any) -> dict[str, Any]:
    """The condition, and whether the server does with reads and writes what the module says that it does."""
    result = look(mongod, **options)
    assert result["condition"] == condition, result["evidence"]
    assert result["changed"] is False
    first = result["findings"][0]
    assert (first["code"], first["subject"]) == (f"mongodb.replica_set.{condition}", f"{mongod.params['login_host']}:{mongod.port}")
    assert result["healthy"] == (first["severity"] == "ok") == (first["remedy"] is None)
    if result["writes"] != "unknown":
        assert works(lambda: mongod.write(majority=False)) == (result["writes"] != "no")
    if result["reads"] != "unknown":
        assert works(mongod.documents) == (result["reads"] == "yes")
    return result


def works(attempt: Any) -> bool:
    try:
        attempt()
    except PyMongoError:
        return False
    return True


def codes(result: dict[str, Any]) -> list[str]:
    return [finding["code"].removeprefix("mongodb.") for finding in result["findings"]]
