# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the parameters of a module to the undo of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.check import Result
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.errors import JournalError
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.undo import undo_factory

from .shelf import FIX, Shelf, Tidy, engine, undo
from .test_run import END, START, WANTED


@pytest.fixture
def shelf() -> Shelf:
    return Shelf(START)


@pytest.fixture
def directory(tmp_path: Path) -> str:
    return str(tmp_path / "journal")


def mend(shelf: Shelf, directory: str, wanted: Any = None, size: int = 0) -> Result:
    return engine(Tidy(shelf, WANTED if wanted is None else wanted, size), directory).run()


def parameters(directory: str, undo_id: str | None, *changes: int) -> dict[str, Any]:
    return {"journal_dir": directory, "undo_id": undo_id, "changes": list(changes)}


def test_factory_finds_the_store_also_of_an_undo(shelf: Shelf, directory: str) -> None:
    asked = []

    def store(params: Any, header: Any) -> Shelf:
        asked.append((params["undo_id"], header["room"]))
        return shelf

    make = undo_factory({FIX: store})
    run = mend(shelf, directory)
    back = engine(make(parameters(directory, run.undo_id, 0)), directory).run()
    assert shelf.things["cup"] == START["cup"]
    engine(make(parameters(directory, back.undo_id)), directory).run()
    assert shelf.things == END
    assert asked == [(run.undo_id, "cellar"), (back.undo_id, "cellar")]


def test_factory_refuses_before_a_server_is_asked(shelf: Shelf, directory: str) -> None:
    def store(params: Any, header: Any) -> Shelf:
        raise AssertionError

    run = mend(shelf, directory)
    with pytest.raises(JournalError, match="runs of shelf_tidy cannot be undone by this version; it undoes: a_fix, b_fix"):
        undo_factory({"b_fix": store, "a_fix": store})(parameters(directory, run.undo_id))
    with pytest.raises(JournalError, match="has no change 7"):
        undo_factory({FIX: store})(parameters(directory, run.undo_id, 7))
    with pytest.raises(JournalError, match="no run"):
        undo_factory({FIX: store})(parameters(directory, "20260131T235959-fix-0123abcd"))
    Path(directory).chmod(0o777)
    with pytest.raises(JournalError, match="others may write"):
        undo_factory({FIX: store})(parameters(directory, run.undo_id))


def test_the_store_is_closed_if_it_can_be(shelf: Shelf, directory: str) -> None:
    back = undo(shelf, directory, mend(shelf, directory).undo_id)
    back.close()
    closed = []
    shelf.close = lambda: closed.append(True)  # type: ignore[attr-defined]
    back.close()
    assert closed == [True]
