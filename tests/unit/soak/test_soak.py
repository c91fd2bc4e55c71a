# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a soak does is a matter of its seed, and its invariants see what is wrong."""

from __future__ import annotations

from soak import invariants
from soak.plan import counted, reproduce, round_of

FAULTS = ["a", "b", "c"]
RUN = {"undo_id": "1", "status": "ok", "ended": "2026-01-31T23:59:59Z"}


def test_rounds_follow_from_the_seed() -> None:
    one = [round_of(7, number, FAULTS, ["a"]) for number in range(200)]
    assert one == [round_of(7, number, list(reversed(FAULTS)), ["a"]) for number in range(200)]
    assert one != [round_of(8, number, FAULTS, ["a"]) for number in range(200)]
    assert {fault for each in one for fault in each.faults} == set(FAULTS)
    assert {each.undo for each in one} == {None, "a"}
    assert all(each.undo in (None, *each.faults) for each in one)
    assert 20 < sum(each.kill_after is not None for each in one) < 120
    assert reproduce(7, 3, ["x", "y"]) == "SOAK_SEED=7 SOAK_ROUNDS=3 SOAK_HOSTS=x,y make soak"


def test_what_is_lost() -> None:
    assert invariants.lost({"a": 1, "b": 2}, {"a": 1, "b": 2, "c": 3}) == []
    assert invariants.lost({"a": 1, "b": 2}, {"b": 3}) == ["lost: a", "damaged: b: 2 became 3"]


def test_what_is_left() -> None:
    assert invariants.locked({"lock": None}) == []
    assert len(invariants.locked({"lock": {"run": "1"}})) == 1
    assert invariants.incomplete([RUN], ["1"], killed=False) == []
    assert len(invariants.incomplete([], ["1"], killed=True)) == 1
    unfinished = dict(RUN, status="unfinished", ended=None)
    assert len(invariants.incomplete([unfinished], [], killed=False)) == 1
    assert invariants.incomplete([unfinished], [], killed=True) == []
    assert invariants.incomplete([unfinished], ["1"], killed=False) == [], "that of an earlier round is known"
    assert len(invariants.incomplete([dict(RUN, ended=None)], [], killed=False)) == 1


def test_what_no_look_has_found() -> None:
    assert invariants.unseen({"fault": "a.b"}, ["a.b", "c"]) == []
    assert invariants.unseen({"fault": "a.b"}, ["c"]) == ["not found: fault (a.b)"]
    assert counted(["b", "a", "b"]) == {"a": 1, "b": 2}
