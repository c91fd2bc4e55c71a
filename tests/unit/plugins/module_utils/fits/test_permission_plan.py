# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which mode lets a user read: the plan by tables, and what holds of every plan."""

from __future__ import annotations

import stat
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.rights import Acl, Identity, decide
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.permission_plan import Entry, PermissionState, diagnose, left, plan
from hypothesis import given
from hypothesis import strategies as st

WHO = Identity("fitsdata", 10, frozenset((20, 21)))
FILE, DIRECTORY = stat.S_IFREG, stat.S_IFDIR


def entry(mode: int, uid: int = 99, gid: int = 99, kind: int = FILE, **values: Any) -> Entry:
    need = 4 if kind == FILE else 5
    known: dict[str, Any] = {"path": "graces/N1.fits", "device": 1, "inode": 7, "links": 1, "need": need, "tried": None, **values}
    return Entry(mode=kind | mode, uid=uid, gid=gid, **known)


def state(*entries: Entry, runner: int = 0, **values: Any) -> PermissionState:
    return PermissionState("/sci/dataflow", WHO, runner, entries, **values)


def modes(planned: list[Any]) -> list[tuple[str, str]]:
    return [(change.before["mode"], change.after["mode"]) for change in planned]


@pytest.mark.parametrize(
    ("seen", "after"),
    [
        (entry(0o600), "0604"),
        (entry(0o600, gid=20), "0640"),
        (entry(0o200, uid=10), "0600"),
        (entry(0o604, gid=21), "0644"),
        (entry(0o044, uid=10), "0444"),
        (entry(0o7600), "7604"),
        (entry(0o700, kind=DIRECTORY), "0705"),
        (entry(0o701, kind=DIRECTORY), "0705"),
        (entry(0o700, kind=DIRECTORY, need=1), "0701"),
        (entry(0o600, acl=Acl(((11, 4),), (), 4, 4)), "0604"),
        (entry(0o644), None),
        (entry(0o600, tried=True), None),
        (entry(0o040, gid=20), None),
    ],
)
def test_the_smallest_change(seen: Entry, after: Any) -> None:
    assert [change[1] for change in modes(plan(state(seen)))] == ([after] if after else [])
    assert left(state(seen)) == []


@pytest.mark.parametrize(
    ("seen", "runner", "what", "words"),
    [
        (entry(0o777, kind=stat.S_IFLNK), 0, "link", "no link is followed"),
        (entry(0o600, kind=stat.S_IFIFO), 0, "special", "neither a file"),
        (entry(0o644, tried=False), 0, "unmendable", "maps users"),
        (entry(0o644, acl=Acl(((10, 0),), (), 4, 4), tried=False), 0, "unmendable", "access control list"),
        (entry(0o600, gid=20, acl=Acl(((11, 4),), (), 0, 4)), 0, "unmendable", "access control list"),
        (entry(0o600), 10, "unmendable", "only root"),
        (entry(0o2200, uid=10), 10, "unmendable", "only root"),
        (entry(0o600, trouble="it cannot be read: Input/output error", tried=False), 0, "unmendable", "Input/output error"),
    ],
)
def test_what_is_left(seen: Entry, runner: int, what: str, words: str) -> None:
    assert plan(state(seen, runner=runner)) == []
    (only,) = left(state(seen, runner=runner))
    assert only.what == what
    assert words in only.why
    assert only.mend


def test_the_user_mends_what_it_owns() -> None:
    assert modes(plan(state(entry(0o200, uid=10), runner=10))) == [("0200", "0600")]
    assert modes(plan(state(entry(0o2200, uid=10, gid=20), runner=10))) == [("2200", "2600")]


def test_one_change_for_one_inode() -> None:
    names = [entry(0o600, path="graces/N%d.fits" % n, links=2) for n in range(2)]
    (change,) = plan(state(*names))
    assert "2 hard links" in change.reason
    assert len(plan(state(names[0], replace(names[1], inode=8)))) == 2


def test_a_path_is_quoted_in_what_would_mend_it() -> None:
    (only,) = left(state(entry(0o644, path="graces/a b; rm.fits", acl=Acl(((10, 0),), (), 4, 4), tried=False)))
    assert only.mend == "setfacl -m u:fitsdata:r-- '/sci/dataflow/graces/a b; rm.fits'"


@given(st.integers(0, 0o7777), st.sampled_from([10, 99]), st.sampled_from([20, 99]), st.sampled_from([FILE, DIRECTORY]), st.sampled_from([1, 4, 5]))
def test_every_plan(mode: int, uid: int, gid: int, kind: int, need: int) -> None:
    """It mends, gives nothing but rights to read and enter, to one class, takes nothing away, and then is empty."""
    seen = entry(mode, uid, gid, kind, need=need)
    planned = plan(state(seen))
    class_, granted = decide(WHO, uid, gid, mode, None, need)
    assert bool(planned) == (granted & need != need)
    for change in planned:
        after = int((change.after or {})["mode"], 8)
        added = after & ~mode
        assert after & mode == mode
        assert added & 0o7222 == 0
        assert added == (need & ~granted) << {"owner": 6, "group": 3, "other": 0}[class_]
        mended = replace(seen, mode=kind | after)
        assert plan(state(mended)) == []
        assert diagnose(state(mended))[0].severity == "ok"


@pytest.mark.parametrize(
    ("seen", "values", "codes"),
    [
        (entry(0o644), {}, ["ok"]),
        (entry(0o600), {}, ["unreadable"]),
        (entry(0o644), {"missing": ("N9.fits",)}, ["missing"]),
        (entry(0o600), {"shut": "/sci"}, ["outside", "unreadable"]),
        (entry(0o644, tried=False), {}, ["unmendable"]),
        (entry(0o777, kind=stat.S_IFLNK), {}, ["link", "ok"]),
    ],
)
def test_findings(seen: Entry, values: dict[str, Any], codes: list[str]) -> None:
    found = diagnose(state(seen, **values))
    assert [finding.code for finding in found] == ["fits.permissions." + code for code in codes]
    for finding in found:
        assert finding.runbook == ("fits.rst", "GRACES")
        assert (finding.remedy is None) == (finding.severity == "ok")
