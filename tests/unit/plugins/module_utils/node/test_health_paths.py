# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths and file systems: what is told of what was seen, by tables."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.disk import FileSystem, Mount, Newest, Sum
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.procfs import Deleted, Process
from ansible_collections.fieldops.runbooks.plugins.module_utils.node import paths
from ansible_collections.fieldops.runbooks.plugins.module_utils.node.expect import Missed
from ansible_collections.fieldops.runbooks.plugins.module_utils.node.paths import Place, Seen
from ansible_collections.fieldops.runbooks.plugins.module_utils.node.processes import Running

from .expectations import told, wanted

G = 1 << 30
DISK = FileSystem(Mount((8, 1), "/data", "xfs", "/dev/sdb1", False), 2049, 100 * G, 80 * G, 20 * G, 1000, 400)
HERE = Place("directory", "fitsdata", "fitsdata", 0o755, "/data", 0.0, DISK)
FULL = HERE._replace(file_system=DISK._replace(used=98 * G, available=2 * G))
READ_ONLY = HERE._replace(file_system=DISK._replace(mount=DISK.mount._replace(read_only=True)))
BELOW = HERE._replace(file_system=DISK._replace(mount=DISK.mount._replace(mount_point="/")))
ROOTED = HERE._replace(real="/data/logs")
SNAPPED = FULL._replace(snapshots=["/data/.snapshot"])
HELD = Deleted(2049, 5, 10 * G, "/data/backup.tar", (16, 17))
SMALL = Deleted(2049, 6, 4096, "/data/small", (16,))
TAR = Running(Process(16, 1, ("tar", "cf"), "root"), 60.0)


def seen(place: Any = HERE, **more: Any) -> Seen:
    return Seen(place, 1000.0, running={16: TAR}, **more)


@pytest.mark.parametrize(
    ("expectation", "saw", "findings"),
    [
        ({}, seen(), []),
        ({}, seen(Place(None)), [("missing", "critical")]),
        ({}, seen(Missed("it did not answer")), [("unknown", "warning")]),
        ({"exists": "absent"}, seen(Place(None)), []),
        ({"exists": "absent"}, seen(), [("present", "warning")]),
        ({"exists": "directory"}, seen(), []),
        ({"exists": "file"}, seen(), [("wrong_type", "critical")]),
        ({"owner": "fitsdata", "group": "fitsdata", "mode": "0755"}, seen(), []),
        ({"owner": "root"}, seen(), [("wrong_owner", "warning")]),
        ({"group": "geminidata"}, seen(), [("wrong_owner", "warning")]),
        ({"mode": "0750"}, seen(), [("wrong_mode", "warning")]),
        ({"readable_by": "fitsdata"}, seen(readable=""), []),
        ({"readable_by": "fitsdata"}, seen(readable="may not enter /data"), [("unreadable", "critical")]),
        ({"readable_by": "fitsdata"}, seen(readable=Missed("only root can")), [("unknown", "warning")]),
        ({"mounted": True}, seen(), []),
        ({"mounted": True}, seen(BELOW), [("not_mounted", "critical")]),
        ({}, seen(READ_ONLY), [("read_only", "critical")]),
        ({"read_only": True}, seen(READ_ONLY), []),
        ({"min_free": "20%"}, seen(), []),
        ({"min_free": "20G"}, seen(), []),
        ({"min_free": "21%"}, seen(), [("low_space", "warning")]),
        ({"min_free": "21G"}, seen(), [("low_space", "warning")]),
        ({"min_free": "10%"}, seen(FULL), [("low_space", "critical")]),
        ({"min_free": "10%", "severity": "info"}, seen(FULL), [("low_space", "info")]),
        ({"min_free": "10%"}, seen(SNAPPED), [("low_space", "critical"), ("snapshots", "info")]),
        ({"min_free": "1%"}, seen(SNAPPED), []),
        ({"min_free_inodes": "40%"}, seen(), []),
        ({"min_free_inodes": "41%"}, seen(), [("low_inodes", "warning")]),
        ({"min_free_inodes": "401"}, seen(), [("low_inodes", "warning")]),
        ({"min_free_inodes": "99%"}, seen(HERE._replace(file_system=DISK._replace(inodes=0, inodes_available=0))), []),
        ({"newest_max_age": 100}, seen(newest=Newest("/data/a", 950.0, 3, True)), []),
        ({"newest_max_age": 100}, seen(newest=Newest("/data/a", 1950.0, 3, True)), []),
        ({"newest_max_age": 100}, seen(newest=Newest("/data/a", 850.0, 3, True)), [("stale", "warning")]),
        ({"newest_max_age": 100}, seen(newest=Newest(None, 0.0, 3, True)), [("stale", "warning")]),
        ({"newest_max_age": 100}, seen(newest=Newest("/data/a", 850.0, 3, False)), [("unknown", "warning")]),
        ({"newest_max_age": 100}, seen(newest=Newest(None, 0.0, 3, False)), [("unknown", "warning")]),
        ({"newest_max_age": 100}, seen(newest=Newest("/data/a", 950.0, 3, False)), []),
        ({"newest_max_age": 100}, seen(newest=Missed("Permission denied")), [("unknown", "warning")]),
        ({"deleted_open": "1G"}, seen(deleted=[SMALL]), []),
        ({"deleted_open": "1G"}, seen(deleted=[SMALL, HELD]), [("deleted_open", "warning")]),
        ({"deleted_open": "1G"}, seen(deleted=[], unseen=3), [("unknown", "warning")]),
        ({"deleted_open": "1G"}, seen(deleted=[HELD], unseen=3), [("unknown", "warning"), ("deleted_open", "warning")]),
        ({"deleted_open": "1G"}, seen(deleted=Missed("no answer")), [("unknown", "warning")]),
        ({"account": True}, seen(total=Sum(78 * G, 9, True), deleted=[]), []),
        ({"account": True}, seen(total=Sum(60 * G, 9, True), deleted=[]), [("unaccounted", "warning")]),
        ({"account": True, "max_unaccounted": "30G"}, seen(total=Sum(60 * G, 9, True), deleted=[]), []),
        ({"account": True}, seen(total=Sum(70 * G, 9, True), deleted=[HELD]), []),
        ({"account": True}, seen(total=Sum(1, 9, False), deleted=[]), [("unknown", "warning")]),
        ({"account": True}, seen(total=Missed("Permission denied"), deleted=[]), [("unknown", "warning")]),
        ({"account": True}, seen(ROOTED, total=Missed("no mount point"), deleted=[]), [("unknown", "warning")]),
        ({"account": True}, seen(SNAPPED, total=Sum(60 * G, 9, True), deleted=[]), [("unaccounted", "warning"), ("snapshots", "info")]),
        ({"expect_free": "20G"}, seen(deleted=[]), []),
        ({"expect_free": "20G", "free_before": "1G"}, seen(deleted=[]), []),
        ({"expect_free": "20G", "free_before": "5G"}, seen(deleted=[]), [("not_released", "warning")]),
        ({"expect_free": "50G"}, seen(deleted=[HELD]), [("not_released", "warning")]),
        ({"expect_free": "50G"}, seen(SNAPPED, deleted=[]), [("not_released", "warning"), ("snapshots", "info")]),
        ({"expect_free": "50G"}, seen(deleted=Missed("no answer")), [("not_released", "warning")]),
    ],
)
def test_paths(expectation: dict[str, Any], saw: Seen, findings: list[tuple[str, str]]) -> None:
    want = wanted("paths", path="/data", **expectation)
    assert told(paths.judge(want, saw)) == findings
    assert paths.row(want, saw)["exists"] is (None if isinstance(saw.place, Missed) else saw.place.type is not None)


@pytest.mark.parametrize(
    ("expectation", "saw", "words"),
    [
        (
            {"deleted_open": "1G"},
            seen(deleted=[SMALL, HELD]),
            ["10G on /data are in 1 deleted file that is still open", "/data/backup.tar (10G) by tar, pid 16, pid 17"],
        ),
        (
            {"expect_free": "50G"},
            seen(SNAPPED, deleted=[HELD]),
            ["50G should be free and 2.0G are", "10G are held by deleted files", "snapshots (/data/.snapshot)"],
        ),
        ({"expect_free": "50G"}, seen(deleted=[]), ["no deleted file is open and no snapshot answers to its name"]),
        ({"account": True}, seen(total=Sum(60 * G, 9, True), deleted=[], unseen=2), ["20G of the 80G", "processes that this user may not look into"]),
        ({"mounted": True}, seen(BELOW), ["what is written to it goes to /"]),
        ({"newest_max_age": 1, "newest_match": "*.fits"}, seen(newest=Newest(None, 0.0, 3, True)), ["there is no file *.fits"]),
        ({"newest_max_age": 1, "list": False}, seen(newest=Newest("/data", 10.0, 0, True)), ["the newest entry is 16 min old"]),
        ({"min_free": "10%"}, seen(FULL), ["2.0G (2.0 %) of 100G free on /data, and 10% is wanted"]),
    ],
)
def test_what_is_told_of_paths(expectation: dict[str, Any], saw: Seen, words: list[str]) -> None:
    summary = paths.judge(wanted("paths", path="/data", **expectation), saw)[0].summary
    for word in words:
        assert word in summary


def test_the_row_of_a_path() -> None:
    saw = seen(SNAPPED, newest=Newest("/data/a", 950.0, 3, True), total=Sum(60 * G, 9, True), deleted=[SMALL, HELD], growth=1024.04)
    row = paths.row(wanted("paths", path="/data", account=True, newest_max_age=1, deleted_open="1G"), saw)
    assert row["newest"] == {"path": "/data/a", "age": 50.0, "entries": 3, "complete": True}
    assert [each["path"] for each in row["deleted_open"]] == ["/data/backup.tar", "/data/small"]
    assert row["deleted_open"][0]["holders"] == [{"pid": 16, "owner": "root", "age": 60.0, "program": "tar"}, {"pid": 17}]
    assert (row["deleted_open_size"], row["unaccounted"], row["growth"]) == (10 * G + 4096, 28 * G - 4096, 1024.0)
    assert row["file_system"]["available_percent"] == 2.0
