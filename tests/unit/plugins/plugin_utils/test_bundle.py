# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bundles: what goes in, what does not fit, and what is not believed when one is read."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.fieldops.runbooks.plugins.plugin_utils import bundle
from ansible_collections.fieldops.runbooks.plugins.plugin_utils.bundle import BundleError, Part
from ansible_collections.fieldops.runbooks.plugins.plugin_utils.tasks_file import Said, write_tasks

RECORD = {"version": 1, "check": "fits_queue_info", "state": {}, "judged_by": {}}
FINDING = {"code": "a.b", "severity": "warning", "subject": "x", "summary": "token=Hush4You"}
VARIABLES: dict[str, Any] = {
    "__seen": {"findings": [FINDING], "record": RECORD, "elapsed": 1.5, "invocation": {"module_args": {"x": "Hush4You"}}},
    "__loop": {"results": [{"findings": [], "record": RECORD}, {"findings": [], "record": RECORD}, {"skipped": True}]},
    "__evidence": {"files": [{"name": "log-a.log", "text": "x" * 50, "bytes": 900, "cut": True}], "missing": {"b": "no such file"}},
    "failed": [{"system": "fits", "task": "Look", "reason": "password=Hush4You {{ 1 }}"}],
}
HOSTS = {"fits-a": {"reached": True, "groups": ["fits_servers"]}, "fits-b": {"reached": False, "groups": []}}


class Unmarked(yaml.SafeLoader):
    """Reads what is marked as no template."""


Unmarked.add_constructor("!unsafe", lambda _loader, node: node.value)


def made() -> tuple[list[Part], dict[str, Any]]:
    parts, cuts = bundle.parts_of("fits-a", VARIABLES, ["__seen", "__loop", "__none"], "__evidence", "failed")
    return parts, bundle.manifest(parts, cuts, HOSTS, {"made": "now"})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    parts, document = made()
    return Path(bundle.write(str(tmp_path / "bundles"), "fieldops-x", document, parts)[0])


def test_what_goes_in() -> None:
    parts, document = made()
    assert [(part.kind, part.path) for part in parts] == [
        ("record", "hosts/fits-a/records/01-fits_queue_info.json"),
        ("record", "hosts/fits-a/records/02-fits_queue_info.json"),
        ("record", "hosts/fits-a/records/03-fits_queue_info.json"),
        ("findings", "hosts/fits-a/findings.json"),
        ("evidence", "hosts/fits-a/evidence/000-log-a.log"),
    ]
    assert not any(b"Hush4You" in part.data for part in parts)
    assert document["left_out"] == [
        {"host": "fits-a", "what": "log-a.log", "why": "only its last 50 of 900 bytes"},
        {"host": "fits-a", "what": "b", "why": "no such file"},
    ]
    assert document["bytes"] == sum(len(part.data) for part in parts)


def test_what_matters_most_goes_in_first_and_no_host_takes_all_the_room() -> None:
    big, small = (Part(host, "record", f"hosts/{host}/records/1", b"x" * size, {}) for host, size in (("a", 500), ("b", 10)))
    log = Part("b", "evidence", "hosts/b/evidence/1", b"y" * 20, {"name": "a log"})
    kept, cuts = bundle.fit([log, big, small], 515)
    assert (kept, [(each.host, each.what) for each in cuts]) == ([big, small], [("b", "a log")])
    kept, cuts = bundle.fit([log, big, small], 100)
    assert (kept, [(each.host, each.what) for each in cuts]) == ([log, small], [("a", "hosts/a/records/1")])
    assert "may have 100 bytes" in cuts[0].why


@pytest.mark.parametrize("text", ["fits-a", "../../x", "", ".", "..", "a b", "ä", "a/b", "x" * 300])
def test_names_of_files(text: str) -> None:
    name = bundle.file_name(text)
    assert "/" not in name and name not in ("", ".", "..") and len(name) < 150
    assert bundle.file_name(text + "!") != name


def test_what_is_written_can_be_read_packed_and_unpacked(path: Path, tmp_path: Path) -> None:
    read = bundle.read(str(path))
    assert read.manifest["made"] == "now"
    assert json.loads(read.files["hosts/fits-a/records/01-fits_queue_info.json"]) == RECORD
    with tarfile.open(path) as archive:
        archive.extractall(tmp_path, filter="data")
    again = bundle.read(str(tmp_path / "fieldops-x"), read.sha256)
    assert again == read
    assert [each.name for each in path.parent.iterdir()] == ["fieldops-x.tar.gz"]
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_nothing_is_replaced(path: Path) -> None:
    before = path.read_bytes()
    parts, document = made()
    with pytest.raises(BundleError, match="cannot be written: File exists"):
        bundle.write(str(path.parent), "fieldops-x", document, parts)
    assert path.read_bytes() == before
    assert len(list(path.parent.iterdir())) == 1


def test_it_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    parts, document = made()
    with pytest.raises(BundleError, match="cannot be written: "):
        bundle.write(str(tmp_path / "file" / "x"), "n", document, parts)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder / "hosts/fits-a/findings.json").write_text("{}", encoding="utf-8"), "findings.json is not what was written"),
        (lambda folder: (folder / "hosts/fits-a/findings.json").unlink(), "findings.json is missing"),
        (lambda folder: (folder / "more").write_text("", encoding="utf-8"), "more is not in its manifest"),
        (lambda folder: (folder / "link").symlink_to("/etc/passwd"), "'link' is nothing that belongs into a bundle"),
        (lambda folder: (folder / "to").symlink_to("/etc"), "'to' is nothing that belongs into a bundle"),
        (lambda folder: os.mkfifo(folder / "pipe"), "'pipe' is nothing that belongs into a bundle"),
        (lambda folder: (folder / "manifest.json").unlink(), "it has no manifest.json"),
        (lambda folder: (folder / "manifest.json").write_text("{", encoding="utf-8"), "its manifest cannot be read"),
        (lambda folder: (folder / "manifest.json").write_text('{"format": 1, "files": [{}], "hosts": {}}', encoding="utf-8"), "nothing that could be checked"),
        (lambda folder: (folder / "manifest.json").write_text('{"format": 2}', encoding="utf-8"), "has the form 2 of a bundle; this version reads 1"),
    ],
)
def test_a_folder_that_was_changed(path: Path, tmp_path: Path, change: Any, said: str) -> None:
    with tarfile.open(path) as archive:
        archive.extractall(tmp_path, filter="data")
    change(tmp_path / "fieldops-x")
    with pytest.raises(BundleError, match=said):
        bundle.read(str(tmp_path / "fieldops-x"))


def test_an_archive_that_was_damaged(path: Path, tmp_path: Path) -> None:
    data = path.read_bytes()
    for n, broken in enumerate([data[: len(data) // 2], data[:200] + b"\x00\x01\x02" + data[203:], b"", b"no archive", data[:-8] + b"12345678"]):
        copy = tmp_path / f"broken{n}.tar.gz"
        copy.write_bytes(broken)
        with pytest.raises(BundleError, match="damaged"):
            bundle.read(str(copy))
    with pytest.raises(BundleError, match="cannot be read: No such file"):
        bundle.read(str(tmp_path / "none.tar.gz"))


@pytest.mark.parametrize("name", ["x/../../../tmp/evil", "x//etc/evil", "evil", "x/.hidden", "x/a\nb"])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE])
def test_an_archive_with_something_else_in_it(path: Path, tmp_path: Path, name: str, kind: bytes) -> None:
    with tarfile.open(path) as archive:
        members = [(member, archive.extractfile(member).read()) for member in archive]  # type: ignore[union-attr]
    evil = tarfile.TarInfo(name)
    evil.type, evil.linkname = kind, "/etc/passwd"
    with tarfile.open(tmp_path / "evil.tar.gz", "w:gz") as archive:
        for member, data in [*members, (evil, b"")]:
            archive.addfile(member, io.BytesIO(data))
    with pytest.raises(BundleError, match="is nothing that belongs into a bundle"):
        bundle.read(str(tmp_path / "evil.tar.gz"))


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    member = tarfile.TarInfo("x/big")
    member.size = 50_000_000
    with gzip.open(tmp_path / "bomb.tar.gz", "wb", 1) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        archive.addfile(member, io.BytesIO(bytes(member.size)))
    with pytest.raises(BundleError, match="larger than any bundle"):
        bundle.read(str(tmp_path / "bomb.tar.gz"), most=1_000_000)


def test_another_manifest_is_another_bundle(path: Path) -> None:
    sha256 = bundle.read(str(path)).sha256
    assert bundle.read(str(path), sha256.upper()).sha256 == sha256
    with pytest.raises(BundleError, match=f"its manifest has the checksum {sha256}, not 000"):
        bundle.read(str(path), "0" * 64)


def test_tasks_run_nothing_that_came_from_a_host(path: Path, tmp_path: Path) -> None:
    read = bundle.read(str(path))
    first, second = bundle.replays(read, ["__seen", "__loop"], ["fits_queue_info"])
    assert [(each[0], each[1], len(each[2])) for each in first.looks] == [("__seen", "fits_queue_info", 1), ("__loop", "fits_queue_info", 2)]
    assert (first.groups, second.looks, second.failed[0]["reason"]) == (("fits_servers",), (), "it was not reached when the bundle was made")
    place = {name: f"/place/{n}" for n, name in enumerate(read.files)}
    tasks = bundle.tasks(first, place, "failed")
    assert {type(value) for value in tasks[0]["vars"]["__diagnose_failed"][0].values()} == {Said}
    text = Path(write_tasks(tasks, str(tmp_path), "x-")).read_text(encoding="utf-8")
    assert "!unsafe" in text
    read_back = yaml.load(text, Unmarked)  # noqa: S506 - made from SafeLoader
    judged = [task["block"][0] for task in read_back[1:]]
    looks = [[(look["module"], *look["args"]) for look in action["fieldops.runbooks.runbook_looks"]["looks"]] for action in judged]
    assert looks == [[("fieldops.runbooks.fits_queue_info", "replay")] * number for number in (1, 2)]


def test_what_was_looked_at_together_is_judged_together() -> None:
    """A register holds only what its last task has left there."""
    replay = bundle.Replay("fits-a", (), (("__seen", "node_health_info", ("a",)), ("__other", "hare_info", ("b",)), ("__seen", "fits_queue_info", ("c",))), ())
    judged = [task["block"][0] for task in bundle.tasks(replay, {"a": "/a", "b": "/b", "c": "/c"}, "failed")[1:]]
    assert [(action["register"], [look["args"]["replay"] for look in action["fieldops.runbooks.runbook_looks"]["looks"]]) for action in judged] == [
        ("__seen", ["/a", "/c"]),
        ("__other", ["/b"]),
    ]


def test_a_look_that_this_version_has_not_is_told(path: Path) -> None:
    first, _second = bundle.replays(bundle.read(str(path)), ["__seen"], ["another_info"])
    assert first.looks == ()
    assert {each["reason"] for each in first.failed if "replay" in each["task"]} == {
        "this version has no look fits_queue_info for __seen",
        "this version has no look fits_queue_info for __loop",
    }
