# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Environment files, against what really reads them: systemd's own function and bash."""

from __future__ import annotations

import ctypes
import glob
import re
import subprocess
from pathlib import Path

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.envfile import parse, quoted, shell_difference, unfit
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

LIBRARIES = sorted(glob.glob("/usr/lib/*/systemd/libsystemd-shared-*.so") + glob.glob("/usr/lib/systemd/libsystemd-shared-*.so"))
needs_systemd = pytest.mark.skipif(not LIBRARIES, reason="systemd is not installed here")
relaxed = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)


def by_systemd(path: Path, data: bytes) -> list[bytes] | None:
    """Assignments as systemd's load_env_file gives them; None where it refuses the file."""
    path.write_bytes(data)
    load = ctypes.CDLL(LIBRARIES[-1]).load_env_file
    load.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.POINTER(ctypes.POINTER(ctypes.c_char_p))]
    found = ctypes.POINTER(ctypes.c_char_p)()
    if load(None, str(path).encode(), ctypes.byref(found)) < 0:
        return None
    out: list[bytes] = []
    while found and found[len(out)] is not None:
        out.append(found[len(out)])
    return out


def by_bash(path: Path, data: bytes) -> dict[str, str]:
    """Variables that a shell has got when it has sourced the file."""
    path.write_bytes(data)
    script = 'set -a; . "$1" 2>/dev/null; set +a; /usr/bin/env -0'
    done = subprocess.run(["/bin/bash", "-c", script, "bash", str(path)], capture_output=True, env={}, cwd=str(path.parent), check=False, timeout=20)
    pairs = [part.partition(b"=") for part in done.stdout.split(b"\0") if part]
    return {name.decode("utf-8", "surrogateescape"): value.decode("utf-8", "surrogateescape") for name, _sign, value in pairs}


PIECES = st.sampled_from(list("AB_x1=\n\r\t \"'\\$`#;~:/&|<>(){}[]*?!%+,.-é") + ["A=", "B=", "\\\n", "\n", "\nA=", '"', "'", "export ", " #", "$x", "${x}"])
TEXTS = st.lists(PIECES, max_size=25).map("".join)


@needs_systemd
@relaxed
@given(TEXTS)
@example('A="x\\$y"\nB=b"c"\n# comment\\\nC=1\nD="a" b\nE=a b\nexport F=1\n')
@example("A='it'\"'\"'s $x'\n=B\nC = d \nE= \\ f \n")
def test_as_systemd_reads_it(tmp_path: Path, text: str) -> None:
    theirs = by_systemd(tmp_path / "file", text.encode())
    assert theirs is not None
    lines = [(each.name + "=" + each.value).encode() for each in parse(text.encode()).assignments]
    assert _last(theirs) == _last(lines)


def _last(lines: list[bytes]) -> dict[bytes, bytes]:
    return {line.partition(b"=")[0]: line for line in lines}


@needs_systemd
@pytest.mark.parametrize("data", [b"A=\xff\n", b"\xff=A\n", b"B=1\nA='\xc3'\n"])
def test_a_file_that_is_not_utf8_is_refused_by_systemd(tmp_path: Path, data: bytes) -> None:
    assert by_systemd(tmp_path / "file", data) is None
    assert [trouble.code for trouble in parse(data).troubles] == ["not_utf8"]


@relaxed
@given(TEXTS)
@example("a\\\nb")
@example("a#b")
@example("a #b")
@example('"a b"c')
def test_where_no_difference_is_told_a_shell_gets_the_same(tmp_path: Path, text: str) -> None:
    assignments = parse(("A=" + text).encode()).assignments
    assume(len(assignments) == 1 and assignments[0].accepted)
    (found,) = assignments
    raw = ("A=" + text)[found.start : found.end]
    if not shell_difference(raw, found.value):
        assert by_bash(tmp_path / "file", (raw + "\n").encode()).get("A") == found.value


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("A=$HOME", "expands the $"),
        ('A="${HOME}/x"', "expands the $"),
        ("A=`id`", "expands the `"),
        ("A=~/x", "expands the ~"),
        ("A=/x:~/y", "expands the ~"),
        ("A=a b", "first blank"),
        ("A = b", "no blanks around"),
        ('A=b"c"', "mean something else"),
        ("A='it'\\''s'", "mean something else"),
        ("A=a # comment", "mean something else"),
        ("A=a;b", "ends the value at the ;"),
        ("A=$'x'", "expands the $"),
        ("TMOUT=0", "does not let anybody assign"),
    ],
)
def test_differences_are_told_and_are_real(tmp_path: Path, line: str, word: str) -> None:
    (found,) = parse(line.encode()).assignments
    assert word in shell_difference(line, found.value)
    shell = "readonly TMOUT=900\n" if "TMOUT" in line else ""
    assert by_bash(tmp_path / "file", (shell + line + "\n").encode()).get(found.name) != found.value


@pytest.mark.parametrize(
    ("text", "codes", "values"),
    [
        ("A=1\nexport B=2\n", ["ignored"], {"A": "1"}),
        ("A=1\nB\n", ["no_assignment"], {"A": "1"}),
        ("A='1\nB=2\n", ["shell", "unterminated"], {"A": "1\nB=2\n"}),
        ("# x\\\nA=1\nB=2", ["comment_continues"], {"B": "2"}),
        ("; x\nA=1", ["shell"], {"A": "1"}),
        ('A="\\$x"', ["old_escape"], {"A": "$x"}),
        ("A-B=1", ["ignored"], {}),
        ("A=1\x01", ["ignored"], {}),
        ("A=1\0\nB=2", ["nul"], {"A": "1"}),
        ("A=1\r\n", ["shell"], {"A": "1"}),
        ("", [], {}),
        ("\n\n  # A=1\n  B = 2\n", ["shell"], {"B": "2"}),
    ],
)
def test_what_is_odd_about_a_file(text: str, codes: list[str], values: dict[str, str]) -> None:
    found = parse(text.encode())
    assert [trouble.code for trouble in found.troubles] == codes
    assert found.values() == values


@relaxed
@given(st.text(alphabet=st.characters(blacklist_categories=("Cs", "Cc")), max_size=30))
@example('it\'s $5 \\ "here" `now` ~ # ; & é')
@example("'")
@example("''")
@example("~/x")
@example(" a ")
@example("")
def test_what_is_written_reads_the_same_to_both(tmp_path: Path, value: str) -> None:
    assert not unfit("A", value)
    line = "A=%s\n" % quoted(value)
    found = parse(line.encode())
    assert found.values() == {"A": value}
    assert not found.troubles
    assert by_bash(tmp_path / "file", line.encode()).get("A") == value
    if LIBRARIES:
        assert by_systemd(tmp_path / "file", line.encode()) == [("A=" + value).encode()]


@pytest.mark.parametrize(("name", "value"), [("a-b", "x"), ("1A", "x"), ("", "x"), ("A B", "x"), ("A", "x\ny"), ("A", "x\0"), ("UID", "1"), ("A", "\udcff")])
def test_what_cannot_be_written(name: str, value: str) -> None:
    assert unfit(name, value)


def test_values_are_not_shown_by_accident() -> None:
    found = parse(b"TOKEN=sesame\nexport X=sesame\nY=$sesame\n")
    assert "sesame" not in repr(found)
    assert not re.search("sesame", " ".join(trouble.text for trouble in found.troubles))
