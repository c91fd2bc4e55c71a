# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether FITS files are valid: real ones, broken ones, and what astropy says of the same bytes."""

from __future__ import annotations

import bz2
import io
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.fitsfile import BLOCK, Validity, check
from hypothesis import given, settings
from hypothesis import strategies as st

numpy = pytest.importorskip("numpy")
fits = pytest.importorskip("astropy.io.fits")


def written(*hdus: Any) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        fits.HDUList(list(hdus)).writeto(folder + "/x.fits")
        return Path(folder, "x.fits").read_bytes()


def primary(data: Any = None, telescop: Any = "Gemini-North") -> Any:
    hdu = fits.PrimaryHDU(data)
    if telescop is not None:
        hdu.header["TELESCOP"] = (telescop, "with a comment / and a slash")
    return hdu


def table() -> Any:
    columns = [fits.Column("name", "20A", array=["one", "two"]), fits.Column("list", "PE()", array=numpy.array([[1.0, 2.0], [3.0]], dtype=object))]
    return fits.BinTableHDU.from_columns(columns)


IMAGE = numpy.arange(3000, dtype=">i2").reshape(50, 60)
PLAIN = written(primary())
WITH_DATA = written(primary(IMAGE))
EXTENDED = written(
    primary(), fits.ImageHDU(IMAGE), table(), fits.CompImageHDU(IMAGE.astype("i4")), fits.TableHDU.from_columns([fits.Column("a", "I4", array=[1])])
)
LONG_HEADER = written(fits.PrimaryHDU(header=fits.Header([("TELESCOP", "Gemini-South")] + [("KEY%d" % n, n) for n in range(500)])))
GROUPS = written(fits.GroupsHDU(fits.GroupData(IMAGE.reshape(10, 1, 1, 300).astype("f4"), bitpix=-32, parnames=["u", "v"], pardata=[[0.0] * 10, [1.0] * 10])))
INTACT = {"plain": PLAIN, "data": WITH_DATA, "extended": EXTENDED, "long header": LONG_HEADER, "random groups": GROUPS}


def replaced(content: bytes, old: bytes, new: bytes) -> bytes:
    assert content.count(old), old
    assert len(old) == len(new)
    return content.replace(old, new, 1)


BROKEN = {
    "empty": (b"", "it is empty"),
    "text": (b"this is no FITS file\n" * 200, "does not begin with SIMPLE"),
    "not SIMPLE": (replaced(PLAIN, b"SIMPLE  =                    T", b"SIMPLE  =                    F"), "SIMPLE is not T"),
    "header cut": (LONG_HEADER[: 3 * BLOCK], "header of HDU 0: no END card in 8640 bytes"),
    "header cut in a block": (PLAIN[:1000], "header of HDU 0: no END card in 1000 bytes"),
    "data cut": (WITH_DATA[: BLOCK + 5000], "data of HDU 0 ends after 5000 of 6000 bytes"),
    "not padded": (WITH_DATA[: BLOCK + 6000], "data of HDU 0 is not padded"),
    "extension cut": (EXTENDED[:-BLOCK], "HDU 4"),
    "extension header cut": (EXTENDED[: BLOCK + 80], "header of HDU 1: no END card in 80 bytes"),
    "junk behind": (PLAIN + b"junk" * 720, "what follows HDU 0, at byte 2880, is no extension"),
    "bad BITPIX": (replaced(WITH_DATA, b"BITPIX  =                   16", b"BITPIX  =                   17"), "BITPIX is 17"),
    "bad NAXIS": (replaced(WITH_DATA, b"NAXIS   =                    2", b"NAXIS   =                 9999"), "NAXIS is 9999"),
    "no NAXIS2": (replaced(WITH_DATA, b"NAXIS2  =", b"NAXISX  ="), "NAXIS2 is missing"),
    "negative": (replaced(WITH_DATA, b"NAXIS2  =                   50", b"NAXIS2  =                  -50"), "negative length"),
    "no integer": (replaced(WITH_DATA, b"NAXIS2  =                   50", b"NAXIS2  =                 five"), "NAXIS2 is 'five', not an integer"),
}


def look(tmp_path: Path, content: bytes, name: str = "N20200804S0091.fits") -> Validity:
    path = tmp_path / name
    path.write_bytes(content)
    return check(str(path))


@pytest.mark.parametrize("content", INTACT.values(), ids=INTACT)
@pytest.mark.parametrize("compressed", [False, True])
def test_intact_files_open(tmp_path: Path, content: bytes, compressed: bool) -> None:
    seen = look(tmp_path, bz2.compress(content), "x.fits.bz2") if compressed else look(tmp_path, content)
    assert (seen.opens, seen.reason, seen.size) == (True, "", len(content))
    with fits.open(io.BytesIO(content)) as hdus:
        assert seen.hdus == len(hdus)
        assert seen.telescop == hdus[0].header.get("TELESCOP")


@pytest.mark.parametrize(("content", "reason"), BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("compressed", [False, True])
def test_broken_files_do_not_and_say_why(tmp_path: Path, content: bytes, reason: str, compressed: bool) -> None:
    seen = look(tmp_path, bz2.compress(content), "x.fits.bz2") if compressed else look(tmp_path, content)
    assert seen.opens is False
    assert reason in seen.reason
    assert seen.refused == "Unable to open file in astrodata (%s)" % seen.reason


@pytest.mark.parametrize(
    ("telescop", "value", "refused"),
    [
        ("Gemini-North", "Gemini-North", ""),
        ("it's ''quoted''", "it's ''quoted''", ""),
        ("", "", ""),
        (0, "0", "Bad value 0 for TELESCOP in file"),
        (None, None, "TELESCOP keyword missing in file"),
    ],
)
def test_telescop_in_upstreams_words(tmp_path: Path, telescop: Any, value: str | None, refused: str) -> None:
    seen = look(tmp_path, written(primary(telescop=telescop)))
    assert (seen.opens, seen.telescop, seen.refused) == (True, value, refused)


def test_a_file_that_ends_too_early_is_told_from_one_that_is_wrong(tmp_path: Path) -> None:
    assert {name for name, (content, _reason) in BROKEN.items() if look(tmp_path, content).cut_off} == {
        "empty", "header cut", "header cut in a block", "data cut", "not padded", "extension cut", "extension header cut",
    }  # fmt: skip


@pytest.mark.parametrize("filling", [b"\0" * BLOCK, b" " * BLOCK * 3])
def test_filling_at_the_end_does_no_harm(tmp_path: Path, filling: bytes) -> None:
    assert look(tmp_path, PLAIN + filling).opens is True


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (bz2.compress(EXTENDED)[:-20], "ends in the middle"),
        (b"BZh9" + b"junk" * 100, "not intact bzip2 data"),
        (PLAIN, "not intact bzip2 data after 0 bytes"),
    ],
)
def test_broken_compression(tmp_path: Path, content: bytes, reason: str) -> None:
    seen = look(tmp_path, content, "x.fits.bz2")
    assert seen.opens is False
    assert reason in seen.reason


def test_several_bzip2_streams_are_one_file(tmp_path: Path) -> None:
    """As parallel compressors write them."""
    pieces = [EXTENDED[start : start + 10000] for start in range(0, len(EXTENDED), 10000)]
    assert look(tmp_path, b"".join(map(bz2.compress, pieces)), "x.fits.bz2").opens is True


def truth(content: bytes) -> bool:
    """Whether astropy opens it all without an error or a complaint."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            with fits.open(io.BytesIO(content), lazy_load_hdus=False) as hdus:
                return len(hdus) > 0
        except Exception:  # noqa: BLE001  whatever it is, it does not open
            return False


LENIENT = ("not SIMPLE", "bad BITPIX")
"""What the standard forbids and astropy opens."""


@pytest.mark.parametrize("name", [*INTACT, *BROKEN])
def test_astropy_says_the_same(tmp_path: Path, name: str) -> None:
    content = INTACT[name] if name in INTACT else BROKEN[name][0]
    assert (look(tmp_path, content).opens or name in LENIENT) is truth(content)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(INTACT)), st.floats(0, 1, exclude_max=True))
def test_no_truncated_file_opens_unless_astropy_takes_it(tmp_path_factory: pytest.TempPathFactory, name: str, share: float) -> None:
    content = INTACT[name][: int(len(INTACT[name]) * share)]
    assert look(tmp_path_factory.mktemp("cut"), content).opens is truth(content)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(INTACT)), st.lists(st.tuples(st.integers(0, 10**6), st.binary(min_size=1, max_size=8)), max_size=5), st.booleans())
def test_any_bytes_get_an_answer(tmp_path_factory: pytest.TempPathFactory, name: str, damage: list[Any], compressed: bool) -> None:
    content = bytearray(bz2.compress(INTACT[name]) if compressed else INTACT[name])
    for at, new in damage:
        content[at % len(content) : at % len(content) + len(new)] = new
    seen = look(tmp_path_factory.mktemp("damaged"), bytes(content), "x.fits.bz2" if compressed else "x.fits")
    assert seen.opens is not None
    assert bool(seen.reason) is not seen.opens


def test_time_is_up(tmp_path: Path) -> None:
    (tmp_path / "x.fits.bz2").write_bytes(bz2.compress(EXTENDED))
    seen = check(str(tmp_path / "x.fits.bz2"), time.monotonic() - 1)
    assert seen.opens is None
    assert "time was up" in seen.reason


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "directory"])
def test_what_is_no_file_is_not_opened(tmp_path: Path, make: Callable[[str], None]) -> None:
    make(str(tmp_path / "x.fits"))
    with pytest.raises(OSError, match=r"not a regular file|directory"):
        check(str(tmp_path / "x.fits"))


def test_a_gigabyte_takes_no_memory(tmp_path: Path) -> None:
    """A sparse file with one huge image, and the same compressed; with an address space that holds neither."""
    size = 1 << 30
    header = replaced(written(primary(numpy.zeros((1, 1), "u1"))), b"NAXIS1  =                    1", b"NAXIS1  =" + b"%21d" % size)[:BLOCK]
    plain = tmp_path / "large.fits"
    plain.write_bytes(header)
    os.truncate(plain, BLOCK + -(-size // BLOCK) * BLOCK)
    packed = tmp_path / "large.fits.bz2"
    compressor = bz2.BZ2Compressor()
    with packed.open("wb") as file:
        file.write(compressor.compress(header))
        for _piece in range(64):
            file.write(compressor.compress(b"\0" * (1 << 20)))
        file.write(compressor.flush())
    program = "import sys; from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.fitsfile import check\n"
    program += "for path in sys.argv[1:]: print(check(path))"

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (1 << 28, 1 << 28))

    command = [sys.executable, "-c", program, str(plain), str(packed)]
    done = subprocess.run(command, preexec_fn=limit, capture_output=True, text=True, check=True, env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)))
    first, second = done.stdout.splitlines()
    assert "opens=True" in first
    assert "data of HDU 0 ends after %d of %d bytes" % (64 << 20, size) in second
