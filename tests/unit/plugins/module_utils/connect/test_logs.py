# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading logs from the end: against a plain scan from the beginning, whatever is in the files and however they are cut into blocks."""

from __future__ import annotations

import itertools
import os
import re
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.logs import (
    Clock,
    Kind,
    Line,
    LogError,
    Scan,
    Span,
    last_line,
    last_lines,
    lines_with,
    scan,
    visible,
)
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.rotation import SLACK
from hypothesis import example, given, settings
from hypothesis import strategies as st

KINDS = (
    Kind("error", "ERROR", "critical"),
    Kind("any-case", "(?i)warn(ing)?"),
    Kind("short", "[xy]$"),
    Kind("start", r"^\S+ ?E"),
    Kind("either", "ERROR: bb|Trace"),
    Kind("not", r"a(?!\s*b)[^b]*b"),
)
BENIGN = ("benign", "^  fine$")
WORDS = (
    "ERROR",
    "ERROR: bb",
    "Warn",
    "warning",
    "a",
    "ab",
    "a b",
    "x",
    "y",
    "\n",
    "\r\n",
    "\n  fine\n",
    "Trace",
    "benign",
    "é",
    " ",
    "\x00",
    "q" * 30,
    "\nERROR\n",
)
T0 = datetime(2026, 3, 4, 5, 6, 7).timestamp()


def stamp(moment: float) -> str:
    return datetime.fromtimestamp(moment).strftime("%Y-%m-%d %H:%M:%S,") + "%03d " % (moment % 1 * 1000)


def write(folder: Path, contents: list[bytes], name: str = "log") -> str:
    """A log and its rotations, the newest one first."""
    for number, content in enumerate(contents):
        (folder / (name if not number else "%s.%d" % (name, number))).write_bytes(content)
    return str(folder / name)


@dataclass
class Plain:
    """An entry, found by reading from the beginning."""

    time: float | None
    lines: list[bytes]


def plain_entries(contents: list[bytes], span: Span) -> list[Plain]:
    """All entries, oldest first, without any of the cleverness that is tested."""
    left = span.max_bytes
    found: list[list[Plain]] = []
    for content in contents:
        low = 0 if left is None else max(0, len(content) - left)
        left = None if left is None else max(0, left - len(content))
        entries: list[Plain] = []
        at, since_head = 0, None
        for line in content.split(b"\n")[: None if not content.endswith(b"\n") else -1]:
            begin, at = at, at + len(line) + 1
            if begin < low or (not line and begin == len(content)):
                continue
            cut = line[: span.longest_line] if len(line) > span.longest_line else line[:-1] if line.endswith(b"\r") else line
            moment = plain_time(line) if span.clock else None
            since_head = 0 if moment is not None else None if since_head is None else since_head + 1
            if since_head and since_head <= span.nearby:
                entries[-1].lines.append(cut)
            else:
                entries.append(Plain(moment, [cut]))
                since_head = since_head if since_head == 0 else None
        found.insert(0, entries)
    return [entry for entries in found for entry in entries]


def plain_time(line: bytes) -> float | None:
    match = re.match(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}", line)
    return datetime.strptime(match.group().decode(), "%Y-%m-%d %H:%M:%S,%f").timestamp() if match else None


def plain_scan(entries: list[Plain], span: Span, last: int) -> list[Any]:
    rows = []
    for kind in KINDS:
        matching = [
            (entry, next(line for line in entry.lines if re.search(kind.regex.encode(), line)))
            for entry in entries
            if any(re.search(kind.regex.encode(), line) for line in entry.lines)
            and not any(re.search(regex.encode(), line) for regex in BENIGN for line in entry.lines)
            and (span.since is None or entry.time is None or entry.time >= span.since)
        ]
        times = [entry.time for entry, _line in matching if entry.time is not None]
        shown = [(entry.time, visible(line)) for entry, line in matching[len(matching) - min(last, len(matching)) :]]
        rows.append((kind.name, kind.severity, len(matching), times[0] if times else None, times[-1] if times else None, shown))
    return rows


def rows_of(found: Scan) -> list[Any]:
    return [(c.name, c.severity, c.count, c.first, c.last, [(line.time, line.text) for line in c.lines]) for c in found.kinds]


text = st.lists(st.sampled_from(WORDS), max_size=12).map("".join)
timed = st.tuples(st.integers(-500, 500), text).map(lambda pair: stamp(T0 + pair[0]) + pair[1])
content = st.lists(st.one_of(text, timed, timed), max_size=12).map("\n".join).map(str.encode)
contents = st.lists(content, min_size=1, max_size=4)


@settings(deadline=None, max_examples=600)
@given(contents, st.booleans(), st.integers(1, 120), st.integers(25, 60), st.integers(0, 5), st.one_of(st.none(), st.integers(0, 300)), st.integers(0, 4))
@example([b"\n" * 9], True, 1, 25, 1, None, 3)
@example([stamp(T0).encode() + b"ERROR\n" + b"  more\n" * 5 + b"Trace"], True, 9, 25, 4, None, 3)
def test_like_a_plain_scan(files: list[bytes], with_times: bool, block: int, longest: int, nearby: int, max_bytes: int | None, last: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        clock = Clock("python") if with_times else None
        span = Span(write(Path(folder), files), max_bytes=max_bytes, clock=clock, block=block, longest_line=longest, nearby=nearby)
        found = scan(span, KINDS, BENIGN, last)
    assert rows_of(found) == plain_scan(plain_entries(files, span), span, last)
    whole = sum(map(len, files))
    assert found.sources.bytes_read == (whole if max_bytes is None else min(whole, max_bytes))
    assert found.sources.complete == (max_bytes is None or max_bytes >= whole)


@settings(deadline=None, max_examples=250)
@given(st.lists(st.lists(text, max_size=6), min_size=1, max_size=4), st.integers(1, 300), st.integers(-3, 30), st.data())
def test_since(files: list[list[str]], block: int, ago: int, data: st.DataObject) -> None:
    """Entries an hour or so apart, with some disorder: the search goes back far enough and no entry that is too old counts."""
    clock = itertools.count()
    written = [
        "".join(stamp(T0 + 3600 * next(clock) + data.draw(st.integers(-3000, 3000))) + line + "\n" for line in lines).encode() for lines in reversed(files)
    ][::-1]
    with tempfile.TemporaryDirectory() as folder:
        span = Span(write(Path(folder), written), clock=Clock("python"), block=block, since=T0 + 3600 * ago)
        found = scan(span, KINDS, BENIGN, 5)
    assert rows_of(found) == plain_scan(plain_entries(written, span), span, 5)
    assert found.sources.complete


def test_since_reads_no_further_than_it_must(tmp_path: Path) -> None:
    lines = [stamp(T0 + 60 * number) + "INFO: line %d\n" % number for number in range(10000)]
    path = write(tmp_path, ["".join(lines[5000:]).encode(), "".join(lines[:5000]).encode()])
    found = scan(Span(path, clock=Clock("python"), block=4096, since=T0 + 60 * 9900), [Kind("all", "INFO")])
    assert (found.kinds[0].count, found.kinds[0].first, found.sources.complete) == (100, T0 + 60 * 9900, True)
    assert found.sources.bytes_read < 16384
    assert [file.path for file in found.sources.files] == [path]
    assert found.sources.begins is not None
    assert found.sources.begins < T0 + 60 * 9900 - SLACK
    whole = scan(Span(path, clock=Clock("python")), [Kind("all", "INFO")])
    assert (whole.kinds[0].count, whole.sources.begins) == (10000, T0)


def test_rotations_that_are_too_old_are_not_opened(tmp_path: Path) -> None:
    path = write(tmp_path, [b"ERROR new\n", b"ERROR old\n", b"ERROR older\n"])
    now = time.time()
    for number, age in ((1, 3600), (2, 9 * 3600)):
        os.utime("%s.%d" % (path, number), (now - age, now - age))
    found = scan(Span(path, since=now - 60), [Kind("error", "ERROR")])
    assert ([line.text for line in found.kinds[0].lines], found.sources.complete) == (["ERROR old", "ERROR new"], True)


def test_an_entry_ends_with_its_traceback(tmp_path: Path) -> None:
    log = (
        "2026-01-31 10:00:00,000 7:service:12 INFO: busy\n"
        "2026-01-31 10:00:01,500 7:service:99 ERROR: failed on https://user:s3cret@example.org/\n"
        "Traceback (most recent call last):\n"
        '  File "x.py", line 1, in <module>\n'
        "ValueError: bad \x1b[31mvalue\n"
        "\n"
        "2026-01-31 10:00:02,000 7:service:12 INFO: busy\n"
    )
    (tmp_path / "log").write_text(log, encoding="utf-8")
    span = Span(str(tmp_path / "log"), clock=Clock("python"))
    errors, traces = scan(span, [Kind("error", "ERROR"), Kind("trace", "^Traceback")]).kinds
    moment = datetime(2026, 1, 31, 10, 0, 1, 500000).timestamp()
    ends = "ValueError: bad \\x1b[31mvalue"
    shown = "2026-01-31 10:00:01,500 7:service:99 ERROR: failed on https://user:********@example.org/"
    assert errors.lines == (Line(span.path, shown, moment, False, ends),)
    assert traces.lines == (Line(span.path, "Traceback (most recent call last):", moment, False, ends),)
    assert (errors.count, errors.first, errors.last) == (1, moment, moment)
    benign = scan(span, [Kind("error", "ERROR"), Kind("busy", "busy")], ["^ValueError: bad"])
    assert [kind.count for kind in benign.kinds] == [0, 2]


def test_a_line_that_never_ends(tmp_path: Path) -> None:
    """In constant memory, and what is beyond the limit is not looked at."""
    path = tmp_path / "log"
    with open(path, "wb") as file:
        file.write(b"ERROR one\nERROR ")
        file.writelines(b"x" * (1 << 20) for _number in range(64))
        file.write(b" WARNING\nERROR three\n")
    (counted, late) = scan(Span(str(path)), [Kind("error", "ERROR"), Kind("late", "WARNING")]).kinds
    assert counted.count == 3
    assert [(line.cut, len(line.text)) for line in counted.lines] == [(False, 9), (True, 500), (False, 11)]
    assert late.count == 0


def test_what_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"\xff\xfe ERROR \x00\x9b\xe2\x80\xae\xc3\xa9\t.\r\n")
    (line,) = scan(Span(str(tmp_path / "log")), [Kind("error", "ERROR")]).kinds[0].lines
    assert line.text == "\\xff\\xfe ERROR \\x00\\x9b\\u202e\u00e9\\t."
    assert visible(b"x" * 501) == "x" * 497 + "..."
    assert visible(b"x" * 500) == "x" * 500
    assert visible(b"postgresql://u:" + b"p" * 600 + b"@host/") == "postgresql://u:********@host/"


def test_bad_patterns() -> None:
    for kinds, benign in (([Kind("x", "(")], []), ([], ["["])):
        with pytest.raises(LogError, match="is no regular expression"):
            scan(Span("/dev/null"), kinds, benign)


class TestFiles:
    def test_what_cannot_be_read(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        for name, words in (
            ("none", "there is no file"),
            ("pipe", "not a regular file"),
            ("", "not a regular file"),
            ("none/x", "there is no file"),
            ("a\0b", "null"),
        ):
            with pytest.raises(LogError, match=words):
                scan(Span("%s/%s" % (tmp_path, name)), KINDS)

    def test_what_is_a_rotation(self, tmp_path: Path) -> None:
        names = ["log", "log.1", "log.2", "log.10", "log-20260131", "log-20260201", "log.2026-01-30", "log.2026-01-01_12-00-00"]
        others = ["log.old", "log2", "log.1.bak", "xlog.1", "log-2026", "log.lock"]
        for name in names + others:
            (tmp_path / name).write_text("ERROR %s\n" % name, encoding="ascii")
        os.symlink("/etc/passwd", tmp_path / "log.3")
        (tmp_path / "log.1.gz").write_bytes(b"while it is compressed")
        (tmp_path / "log.4.gz").write_bytes(b"compressed")
        found = scan(Span(str(tmp_path / "log")), [Kind("error", "ERROR")])
        order = ["log", "log.1", "log.2", "log.10", "log-20260201", "log-20260131", "log.2026-01-30", "log.2026-01-01_12-00-00"]
        assert [os.path.basename(file.path) for file in found.sources.files] == order
        assert [line.text for line in reversed(found.kinds[0].lines)] == ["ERROR " + name for name in order]
        assert {os.path.basename(path) for path in found.sources.unread} == {"log.3", "log.4.gz"}
        assert not found.sources.complete
        alone = scan(Span(str(tmp_path / "log"), rotated=False), [Kind("error", "ERROR")])
        assert (alone.kinds[0].count, alone.sources.complete) == (1, True)

    def test_a_directory_that_cannot_be_listed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Root could list it all the same."""

        def refuse(_folder: str) -> list[str]:
            raise PermissionError(13, "Permission denied")

        path = write(tmp_path, [b"ERROR\n", b"ERROR\n"])
        monkeypatch.setattr(os, "listdir", refuse)
        found = scan(Span(path), [Kind("error", "ERROR")])
        assert (found.kinds[0].count, found.sources.complete, found.sources.unread) == (1, False, (str(tmp_path),))

    def test_rotated_while_it_is_opened(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write(tmp_path, [b"ERROR 3\n", b"ERROR 2\n", b"ERROR 1\n"])
        self.at_a_look(monkeypatch, lambda: self.rotate(path, b"ERROR 4\n"))
        found = scan(Span(path), [Kind("error", "ERROR")])
        assert [line.text for line in found.kinds[0].lines] == ["ERROR 1", "ERROR 2", "ERROR 3", "ERROR 4"]

    def test_rotated_again_and_again(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Never the same line twice, and it is told that lines may be missing."""
        path = write(tmp_path, [b"ERROR 0\n"])
        listdir, number = os.listdir, itertools.count(1)

        def look(folder: str) -> list[str]:
            self.rotate(path, b"ERROR %d\n" % next(number))
            return listdir(folder)

        monkeypatch.setattr(os, "listdir", look)
        found = scan(Span(path), [Kind("error", "ERROR")])
        assert not found.sources.complete

    def test_rotated_while_it_is_read(self, tmp_path: Path) -> None:
        path = write(tmp_path, [b"ERROR new\n" * 100, b"ERROR old\n" * 100])
        rotate = self.rotate

        class Rotating(Clock):
            """Asked for the first time when reading has begun."""

            done = False

            def at(self, data: bytes, position: int = 0) -> float | None:
                if not self.done:
                    self.done = True
                    rotate(path, b"ERROR newest\n")
                return super().at(data, position)

        found = scan(Span(path, block=100, clock=Rotating("python")), [Kind("old", "old"), Kind("new", "new")])
        assert [kind.count for kind in found.kinds] == [100, 100]
        assert found.sources.complete

    def test_gone_for_a_moment(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Between the two steps of a rotation there is no log."""
        path = write(tmp_path, [b"ERROR\n"])
        os.rename(path, path + ".1")
        monkeypatch.setattr(time, "sleep", lambda _seconds: Path(path).write_bytes(b"ERROR\n"))
        assert scan(Span(path), [Kind("error", "ERROR")]).kinds[0].count == 2

    def test_growing_and_shrinking(self, tmp_path: Path) -> None:
        """What is written later is not seen; what is cut off is told."""
        path = write(tmp_path, [b"ERROR\n" * 1000])

        class Meanwhile(Clock):
            done = False

            def at(self, data: bytes, position: int = 0) -> float | None:
                if not self.done:
                    self.done = True
                    self.act()
                return super().at(data, position)

            def act(self) -> None:
                with open(path, "ab") as file:
                    file.write(b"ERROR\n" * 1000)

        class Shrinking(Meanwhile):
            def act(self) -> None:
                os.truncate(path, 60)

        grown = scan(Span(path, block=500, clock=Meanwhile("python")), [Kind("error", "ERROR")])
        assert (grown.kinds[0].count, grown.sources.complete, grown.sources.files[0].size) == (1000, True, 6000)
        shrunk = scan(Span(path, block=500, clock=Shrinking("python")), [Kind("error", "ERROR")])
        assert (shrunk.sources.complete, shrunk.sources.files[0].truncated) == (False, True)
        assert shrunk.kinds[0].count < 1000

    def test_freshness(self, tmp_path: Path) -> None:
        path = write(tmp_path, [b"x\n"])
        os.utime(path, (time.time() - 100, time.time() - 100))
        (file,) = scan(Span(path), []).sources.files
        assert (file.size, file.inode, file.modified) == (2, os.stat(path).st_ino, os.stat(path).st_mtime)
        assert 99 < file.age < 130

    @staticmethod
    def rotate(path: str, content: bytes) -> None:
        number = 1
        while os.path.exists("%s.%d" % (path, number)):
            number += 1
        for older in range(number, 0, -1):
            os.rename("%s.%d" % (path, older - 1) if older > 1 else path, "%s.%d" % (path, older))
        Path(path).write_bytes(content)

    @staticmethod
    def at_a_look(monkeypatch: pytest.MonkeyPatch, act: Any) -> None:
        """Between opening the log and looking for its rotations."""
        listdir, looks = os.listdir, itertools.count()

        def look(folder: str) -> list[str]:
            if next(looks) == 0:
                act()
            return listdir(folder)

        monkeypatch.setattr(os, "listdir", look)


needles = st.lists(st.sampled_from([b"ERROR", b"a", b"ab", b"Trace", b"benign", b"no such", b"q" * 20, b"\xc3\xa9", b"x"]), min_size=1, max_size=9, unique=True)


@settings(deadline=None, max_examples=250)
@given(contents, needles, st.integers(0, 4), st.integers(1, 120), st.integers(5, 60))
def test_lines_with(files: list[bytes], wanted: list[bytes], limit: int, block: int, longest: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        span = Span(write(Path(folder), files), block=block, longest_line=longest)
        found = lines_with(span, wanted, limit)
    lines = [entry.lines[0] for entry in reversed(plain_entries(files, span))]
    assert {needle: [line.text for line in found.lines[needle]] for needle in wanted} == {
        needle: [visible(line) for line in lines if needle in line][:limit] for needle in wanted
    }


def test_lines_with_times(tmp_path: Path) -> None:
    path = write(tmp_path, [(stamp(T0) + "N1.fits ok\nN2.fits\n").encode(), (stamp(T0 - 99) + "N1.fits bad\n").encode()])
    span = Span(path, clock=Clock("python"))
    found = lines_with(span, [b"N1.fits", b"N2.fits", b"N3.fits"])
    assert [(line.time, line.path) for line in found.lines[b"N1.fits"]] == [(T0, path), (T0 - 99, path + ".1")]
    assert [line.time for line in found.lines[b"N2.fits"]] == [None]
    assert found.lines[b"N3.fits"] == ()
    newer = lines_with(span._replace(since=T0 - 10), [b"N1.fits"])
    assert [line.time for line in newer.lines[b"N1.fits"]] == [T0]
    with pytest.raises(LogError, match="nothing is in every line"):
        lines_with(span, [b""])


@settings(deadline=None)
@given(contents, st.integers(1, 6), st.integers(1, 120))
def test_last_lines(files: list[bytes], count: int, block: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        span = Span(write(Path(folder), files), block=block)
        found = last_lines(span, count)
    lines = [visible(entry.lines[0]) for entry in plain_entries(files, span) if entry.lines[0].strip()]
    assert [line.text for line in found] == lines[-count:]


def test_last_line(tmp_path: Path) -> None:
    path = write(tmp_path, [b"", b"one\n" + stamp(T0).encode() + b"exiting normally\n \n"])
    assert last_line(path) == Line(path + ".1", stamp(T0) + "exiting normally")
    assert last_line(path, Clock("python")) == Line(path + ".1", stamp(T0) + "exiting normally", T0)
    assert last_line(write(tmp_path, [b"\n\n"], "blank")) is None
