# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration of a real cluster, from its file and from its live dump; a live process of it says what is right."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr import conf, ids, xcode
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.errors import MotrError
from hypothesis import given, settings
from hypothesis import strategies as st

FIXTURES = Path(__file__).parent / "fixtures"
SOURCE = (FIXTURES / "conf.xc").read_text(encoding="utf-8")
LIVE = (FIXTURES / "confstr.txt").read_text(encoding="utf-8")
POOLS = (FIXTURES / "gdb_pools_ios1.txt").read_text(encoding="utf-8")


def test_both_sources_give_the_same_configuration() -> None:
    source = conf.parse(SOURCE)
    assert source == conf.parse(LIVE)
    assert not source.problems
    assert len(source.objects) == 90


def test_devices_are_those_of_the_live_process() -> None:
    cluster = conf.parse(LIVE)
    services = dict(re.findall(r"^dev (\d+) sdev \S+ svc (\S+)$", POOLS, re.MULTILINE))
    seen = re.findall(r"^pver (\S+) N (\d+) K (\d+) S (\d+) P (\d+) (\[.*\])$", POOLS, re.MULTILINE)
    assert len(seen) == len(cluster.of_kind("pver")) == 3
    for name, n, k, s, p, table in seen:
        pver = ids.parse(name)
        fields = cluster.get(pver, "pver").fields
        assert [fields[each] for each in "nksp"] == [int(n), int(k), int(s), int(p)]
        devices = conf.devices(cluster, pver)
        assert [(each.target, each.dev_idx, each.drive.plain) for each in devices] == [row[:3] for row in ast.literal_eval(table)]
        assert [each.service.plain for each in devices if each.service] == [services[str(each.dev_idx)] for each in devices]


def test_from_a_device_to_its_node() -> None:
    device = conf.devices(conf.parse(SOURCE), ids.parse("^v|1:10"))[3]
    assert (device.path, device.size, device.state) == ("/dev/disk/by-id/ata-d4", 596000000000, 3)
    assert (device.process, device.endpoint, device.node) == (ids.parse("^r|1:1"), "0@lo:12345:33:901", ids.parse("^n|1:2"))


def test_tree_levels() -> None:
    cluster = conf.parse(SOURCE)
    assert [conf.tree_levels(cluster, each.fid) for each in cluster.of_kind("pver")] == [[[6]], [[2]], [[2]]]
    counts = conf.levels(cluster, ids.parse("^v|1:10"))[0]
    assert counts == [[1], [1], [1], [1], [6]]
    # Real: the only controller would take all four units of a group with it, and one parity unit replaces one.
    at_controllers = conf.parse(SOURCE.replace("[5: 0, 0, 0, 0, 1],\n", "[5: 0, 0, 0, 1, 1],\n"))
    with pytest.raises(MotrError, match=r"pool version <7600000000000001:a> cannot be mapped.* 1 of its controllers.* 4 units .* K=1"):
        conf.tree_levels(at_controllers, ids.parse("^v|1:10"))


@pytest.mark.parametrize(
    ("change", "problem", "lost"),
    [
        (lambda text: text.replace("{0| (2, 0, 0, 2, [5", "{0| (2, 0, 2, [5"), "Motr 1.x", "^v|2:10"),
        (lambda text: text.replace("@M0_CST_MDS", "@M0_CST_NEW"), "'M0_CST_NEW' is no known type", "^s|2:0"),
        (lambda text: text.replace("{0x6b| ((^k|1:1)", "{0x6d| ((^k|1:1)"), "in a record of type 0x6d", "^k|1:1"),
        (lambda text: text.replace('3, 4, "/dev/loop25"', '3, "/dev/loop25"'), "has 7 fields, 8 are known", "^d|20:0"),
        (lambda text: text.replace('3, 4, "/dev/loop25"', '3, "x", "/dev/loop25"'), "flags of sdev", "^d|20:0"),
        (lambda text: text.replace("((^k|1:2), ^d|1:2", "((^k|1:2), 7"), "7 is no fid", "^k|1:2"),
        (lambda text: text.replace("((^k|1:2), ^d|1:2", "((^k|1:2), (-1, 2)"), "is no fid", "^k|1:2"),
        (lambda text: text.replace("((^k|1:2), ^d|1:2", "((^k|1:2), (0x16400000000000001, 2)"), "is no fid", "^k|1:2"),
        (lambda text: text.replace('3, 4, "/dev/loop25"', '-3, 4, "/dev/loop25"'), "-3 is no number", "^d|20:0"),
    ],
)
def test_what_is_damaged_or_unknown_is_told_and_left_out(change: Callable[[str], str], problem: str, lost: str) -> None:
    cluster = conf.parse(change(SOURCE))
    assert len(cluster.problems) == 1
    assert problem in cluster.problems[0]
    assert len(cluster.objects) == 89
    assert ids.parse(lost) not in cluster.objects


def test_what_is_left_out_is_missed_where_it_is_needed() -> None:
    cluster = conf.parse(SOURCE.replace("((^k|1:2), ^d|1:2", "((^k|1:2), 7"))
    with pytest.raises(MotrError, match="has no drive <6b00000000000001:2>"):
        conf.devices(cluster, ids.parse("^v|1:10"))


@pytest.mark.parametrize(("old", "new"), [("{0x64| ((^d|1:2), 1,", "{0x64| ((^d|1:2), 0,"), ("((^k|1:2), ^d|1:2", "((^k|1:2), ^d|1:1")])
def test_two_targets_that_would_have_the_same_cob(old: str, new: str) -> None:
    assert SOURCE.count(old) == 1
    with pytest.raises(MotrError, match="has the device with the index 0 twice"):
        conf.devices(conf.parse(SOURCE.replace(old, new)), ids.parse("^v|1:10"))


def test_a_tree_that_is_none() -> None:
    cluster = conf.parse(SOURCE.replace("^c|1:8, [6: ^j|1:1, ^j|1:2,", "^c|1:8, [6: ^j|1:1, ^j|1:1,"))
    with pytest.raises(MotrError, match="has an objv twice"):
        conf.devices(cluster, ids.parse("^v|1:10"))


@pytest.mark.parametrize("text", ["", "[2: 1]", "[1: 1", "(1,)", "{1 2}", '["x": 1]', "[0] 1", "[1: 0xzz]", "(" * 100, "{@A| 1}"])
def test_text_that_is_no_xcode_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(MotrError, match=r"line 1, column \d+: "):
        xcode.parse(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("[2: 010, -1]", [8, -1]), ('(0x10, "a b")', (16, "a b")), ("{0| @X}", xcode.Tagged(0, xcode.Name("X"))), ("^n|1:10", ids.Fid(0x6E00000000000001, 10))],
)
def test_values(text: str, value: Any) -> None:
    assert xcode.parse(text) == value


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("{0| (2, 1, 1, 6,", "{0| (4, 2, 1, 6,", "no more units than there are devices"),
        ("{0| (2, 1, 1, 6,", "{0| (4, 2, 1, 7,", "group of 7 units does not fit the tree"),
        ("{0| (2, 1, 1, 6,", "{0| (2, 0, 1, 6,", "no more spare units than parity units"),
        ("{0| (2, 1, 1, 6,", "{0| (0, 1, 1, 6,", "at least 1 data unit"),
        ("[5: 0, 0, 0, 0, 1],\n", "[5: 0, 0, 0, 0, 7],\n", "the loss of 7 of its 6 drives"),
        ("[5: 0, 0, 0, 0, 1],\n", "[5: 0, 0, 2, 0, 1],\n", "the loss of 2 of its 1 enclosures"),
        ("[5: 0, 0, 0, 0, 1],\n", "[4: 0, 0, 0, 1],\n", "as many tolerances, not 5 and 4"),
        ("^c|1:8, [6: ^j|1:1, ^j|1:2, ^j|1:3, ^j|1:4, ^j|1:5, ^j|1:6]", "^c|1:8, [0]", "no drives below it"),
        ("^c|1:8, [6:", "^e|1:7, [6:", "of the enclosure .*, where a controller is wanted"),
    ],
)
def test_a_pool_version_that_motr_cannot_map_is_refused(old: str, new: str, why: str) -> None:
    source = re.sub(r"(?<=[{]0[|] [(])2, 1,\s+1, 6,", "2, 1, 1, 6,", SOURCE)
    assert source.count(old) == 1
    cluster = conf.parse(source.replace(old, new))
    with pytest.raises(MotrError, match=why):
        conf.tree_levels(cluster, ids.parse("^v|1:10"))


@given(
    st.lists(
        st.tuples(st.integers(0, len(SOURCE) - 1), st.sampled_from(["", "-", "9", "0", "x", "^", "|", "(", "]", ",", ":", '"', "\u0664", "\n"])), max_size=4
    )
)
@settings(max_examples=80)
def test_whatever_is_damaged_is_one_clear_error_or_a_problem(patches: list[tuple[int, str]]) -> None:
    text = SOURCE
    for place, patch in patches:
        text = text[:place] + patch + text[place + 1 :]
    try:
        cluster = conf.parse(text)
    except MotrError:
        return
    for each in cluster.of_kind("pver"):
        try:
            levels, devices = conf.tree_levels(cluster, each.fid), conf.devices(cluster, each.fid)
        except MotrError:
            continue
        assert len(devices) == sum(levels[-1])
        assert len({device.dev_idx for device in devices}) == len(devices)
