# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Searching real trees for files by name: what is found, in which order, and what ends it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Iterator, Sequence

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect import tree
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.tree import Outcome, search
from hypothesis import given, settings
from hypothesis import strategies as st

AWKWARD = ("*.fits", "N2020[0-9].fits", "?.fits", "new\nline.fits", "--name.fits", " blank .fits", "nandú-☃.fits", "{{ 7 * 7 }}.fits")


def grow(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"")


def wanted(*names: str) -> dict[str, list[str]]:
    return {name: [name, name + ".bz2"] for name in names}


def test_every_name_is_found_once_under_any_spelling(tmp_path: Path) -> None:
    grow(tmp_path, "a/b/one.fits", "c/two.fits.bz2", "c/d/three.fits")
    outcome = search(str(tmp_path), wanted("one.fits", "two.fits"))
    assert outcome.found == {"one.fits": str(tmp_path / "a/b/one.fits"), "two.fits": str(tmp_path / "c/two.fits.bz2")}
    assert (outcome.complete, outcome.stopped, outcome.denied) == (True, "", ())


def test_all_of_the_tree_was_seen_for_a_name_that_is_not_there(tmp_path: Path) -> None:
    grow(tmp_path, *("%d/%d/f%d.fits" % (n % 7, n % 3, n) for n in range(3000)))
    outcome = search(str(tmp_path), wanted("none.fits", "f7.fits"))
    assert (outcome.complete, list(outcome.found)) == (True, ["f7.fits"])
    assert (outcome.entries, outcome.directories) == (3000 + 7 + 21, 1 + 7 + 21)


@pytest.mark.parametrize("name", AWKWARD)
def test_names_are_literal(tmp_path: Path, name: str) -> None:
    grow(tmp_path, "a/N20201.fits", "a/x.fits")
    assert search(str(tmp_path), wanted(name)).found == {}
    grow(tmp_path, "b/" + name)
    assert search(str(tmp_path), wanted(name)).found == {name: str(tmp_path / "b" / name)}


def test_links_are_hits_and_are_not_followed(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    grow(outside, "secret.fits")
    grow(root, "a/x.fits")
    (root / "out").symlink_to(outside)
    (root / "loop").symlink_to(root)
    (root / "a" / "link.fits").symlink_to("nowhere")
    outcome = search(str(root), wanted("secret.fits", "link.fits"))
    assert outcome.found == {"link.fits": str(root / "a/link.fits")}
    assert outcome.complete


def test_a_directory_of_that_name_is_no_hit_but_is_read(tmp_path: Path) -> None:
    grow(tmp_path, "x.fits/y.fits", "x.fits/deep/x.fits")
    assert search(str(tmp_path), wanted("x.fits")).found == {"x.fits": str(tmp_path / "x.fits/deep/x.fits")}


def dated(root: Path, *paths: str) -> None:
    """Directories, each changed a day after the one before."""
    for number, path in enumerate(paths):
        os.utime(str(root / path), (0, 86400 * (number + 1)))


def test_the_newest_directory_comes_first(tmp_path: Path) -> None:
    for n in range(30):
        grow(tmp_path, "%02d/x.fits" % n)
    order = [(7 * n) % 30 for n in range(30)]
    dated(tmp_path, *("%02d" % n for n in order))
    outcome = search(str(tmp_path), wanted("x.fits"), workers=1)
    assert outcome.found == {"x.fits": str(tmp_path / ("%02d" % order[-1]) / "x.fits")}
    assert outcome.directories <= 2


def test_trees_that_are_named_come_before_newer_ones_and_are_read_once(tmp_path: Path) -> None:
    grow(tmp_path, "old/deep/x.fits", "new/x.fits", "old/y.fits")
    dated(tmp_path, "old/deep", "old", "new")
    assert search(str(tmp_path), wanted("x.fits"), first=[str(tmp_path / "old")], workers=1).found == {"x.fits": str(tmp_path / "old/deep/x.fits")}
    outcome = search(str(tmp_path), wanted("none.fits"), first=[str(tmp_path / "old"), str(tmp_path / "old/deep"), str(tmp_path / "not there")], workers=1)
    assert outcome.complete
    assert (outcome.entries, outcome.directories) == (2 + 2 + 1 + 1, 5)


def test_directories_that_cannot_be_read_are_counted_and_named(tmp_path: Path) -> None:
    """As a user who is not root, in a process of its own."""
    grow(tmp_path, "open/x.fits", *("shut%02d/y.fits" % n for n in range(25)))
    for n in range(25):
        (tmp_path / ("shut%02d" % n)).chmod(0)
    program = "import os\nfrom ansible_collections.fieldops.runbooks.plugins.module_utils.connect.tree import search\n"
    program += "if os.geteuid() == 0: os.setuid(65534)\n"
    program += "found = search('.', {'y.fits': ['y.fits']})\nprint(found.complete, found.denied_total, len(found.denied), found.denied[0])\n"
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    # Relative to where it starts: that user could not get here from the top.
    tmp_path.chmod(0o755)
    done = subprocess.run([sys.executable, "-c", program], cwd=str(tmp_path), env=env, capture_output=True, text=True, check=True)
    complete, total, named, example = done.stdout.split()
    assert (complete, total, named) == ("True", "25", "20")
    assert example.startswith("./shut")


def test_entries_end_it(tmp_path: Path) -> None:
    grow(tmp_path, *("%d/f%d.fits" % (n % 50, n) for n in range(5000)))
    outcome = search(str(tmp_path), wanted("none.fits"), max_entries=1000)
    assert (outcome.complete, outcome.stopped) == (False, "entries")
    assert 1000 <= outcome.entries < 3000


class Hanging:
    """A directory that answers like that of a file server which is gone."""

    def __enter__(self) -> Hanging:
        time.sleep(30)
        return self

    def __exit__(self, *what: Any) -> None:
        pass

    def __iter__(self) -> Iterator[Any]:
        return iter(())


def test_time_ends_it_also_when_a_directory_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(tmp_path, "a/x.fits", "hung/y.fits")
    real = os.scandir
    monkeypatch.setattr(tree.os, "scandir", lambda path: Hanging() if path.endswith("hung") else real(path))
    started = time.monotonic()
    outcome = search(str(tmp_path), wanted("x.fits", "y.fits"), timeout=0.5)
    assert time.monotonic() - started < 5
    assert (outcome.complete, outcome.stopped, list(outcome.found)) == (False, "timeout", ["x.fits"])


def test_progress_is_told_and_ends_with_the_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(tmp_path, "a/x.fits")
    real = os.scandir
    monkeypatch.setattr(tree.os, "scandir", lambda path: (time.sleep(0.3), real(path))[1])
    told: list[Outcome] = []
    outcome = search(str(tmp_path), wanted("none.fits"), progress=told.append, interval=0.05)
    assert len(told) > 3
    assert told[-1] == outcome
    assert [each.entries for each in told] == sorted(each.entries for each in told)
    assert not told[0].complete


def test_another_file_system_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real one: /dev/shm or /proc below the root directory, seen from a root that holds both."""
    root = next(path for path in ("/dev", "/sys") if any(os.path.ismount(os.path.join(path, name)) for name in os.listdir(path)))
    mounts = [os.path.join(root, name) for name in os.listdir(root) if os.path.ismount(os.path.join(root, name))]
    other = [path for path in mounts if os.path.isdir(path) and os.stat(path).st_dev != os.stat(root).st_dev]
    seen: list[str] = []
    real = os.scandir
    monkeypatch.setattr(tree.os, "scandir", lambda path: (seen.append(path), real(path))[1])
    outcome = search(root, wanted("none.fits"), timeout=20)
    assert root in seen
    assert other
    assert not set(other) & set(seen)
    assert set(outcome.left_out) & set(other)


def test_what_goes_wrong_while_progress_is_told_ends_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(tmp_path, *("%d/x.fits" % n for n in range(50)))
    real, calls = os.scandir, []
    monkeypatch.setattr(tree.os, "scandir", lambda path: (calls.append(path), time.sleep(0.05), real(path))[2])
    with pytest.raises(ZeroDivisionError):
        search(str(tmp_path), wanted("none.fits"), progress=lambda outcome: 1 // 0, interval=0.01)
    time.sleep(0.3)
    ended = len(calls)
    time.sleep(0.3)
    assert len(calls) == ended < 51


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=5).map("/".join), max_size=40, unique=True),
    st.sets(st.sampled_from("abc").map(lambda name: "f" + name)),
    st.integers(1, 8),
)
def test_whatever_the_tree_and_the_threads_it_finds_what_find_finds(
    tmp_path_factory: pytest.TempPathFactory, folders: Sequence[str], names: set[str], workers: int
) -> None:
    root = tmp_path_factory.mktemp("tree")
    grow(root, *(folder + "/f" + folder[-1] for folder in folders))
    outcome = search(str(root), {name: [name] for name in names}, workers=workers)
    assert outcome.complete
    for name in names:
        lines = subprocess.run(["find", str(root), "-name", name], capture_output=True, text=True, check=True).stdout.split()
        assert outcome.found.get(name) in lines if lines else name not in outcome.found
