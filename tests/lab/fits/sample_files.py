# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real FITS files, written by astropy: small, and the same bytes at every call.

content = sample("multi_extension", date="20260101")
name, content = named("compressed", "N20260101S0001")
"""

from __future__ import annotations

import bz2
import io
from collections.abc import Callable

import numpy
from astropy.io import fits

PROGRAM = "GN-2026A-Q-1"


def plain(date: str = "20260101", program: str = PROGRAM, **cards: object) -> bytes:
    """A primary HDU without data and one image, as a camera of the observatory writes them. A card that is None is left out."""
    return _bytes([_primary(date, program, cards), fits.ImageHDU(_pixels(), name="SCI")])


def multi_extension(date: str = "20260101", program: str = PROGRAM, **cards: object) -> bytes:
    """Three images, a table and a compressed image."""
    column = fits.Column(name="FLUX", format="E", array=numpy.arange(5, dtype="f4"))
    hdus = [_primary(date, program, cards), *(fits.ImageHDU(_pixels(number), name="SCI", ver=number) for number in (1, 2, 3))]
    hdus += [fits.BinTableHDU.from_columns([column], name="CAT"), fits.CompImageHDU(_pixels(), name="DQ", compression_type="RICE_1")]  # GZIP keeps the time
    return _bytes(hdus)


def simple(date: str = "20260101", program: str = PROGRAM, **cards: object) -> bytes:
    """The data are in the primary HDU."""
    hdu = _primary(date, program, cards)
    hdu.data = _pixels()
    return _bytes([hdu])


def no_telescop(date: str = "20260101", program: str = PROGRAM, **cards: object) -> bytes:
    """The DHS copy job of A refuses it."""
    return plain(date, program, **{"TELESCOP": None, **cards})


def zero_telescop(date: str = "20260101", program: str = PROGRAM, **cards: object) -> bytes:
    """The same with a value that is none."""
    return plain(date, program, **{"TELESCOP": 0, **cards})


def truncated(date: str = "20260101", program: str = PROGRAM, **cards: object) -> bytes:
    """Cut off in the data: the headers can still be read."""
    return plain(date, program, **cards)[:-1000]


def truncated_header(date: str = "20260101", program: str = PROGRAM, **cards: object) -> bytes:
    """Cut off in the first header: nothing can open it."""
    return plain(date, program, **cards)[:400]


def no_end(date: str = "20260101", program: str = PROGRAM, **cards: object) -> bytes:
    """Whole blocks, but the card END was lost."""
    return simple(date, program, **cards).replace(b"END" + b" " * 77, b" " * 80, 1)[:2880]


def not_fits(date: str = "20260101", program: str = PROGRAM, **cards: object) -> bytes:
    """A page for people that was saved under the file's name."""
    return b"<html><body>503 Service Unavailable</body></html>\n" * 100


def empty(date: str = "20260101", program: str = PROGRAM, **cards: object) -> bytes:
    """Nothing at all: a disk that was full."""
    return b""


def compressed(date: str = "20260101", program: str = PROGRAM, **cards: object) -> bytes:
    """A good file, as bzip2."""
    return bz2.compress(plain(date, program, **cards))


def truncated_bz2(date: str = "20260101", program: str = PROGRAM, **cards: object) -> bytes:
    """bzip2 that ends too early."""
    return compressed(date, program, **cards)[:-20]


def engineering(date: str = "20260101", program: str = "GN-ENG20260101", **cards: object) -> bytes:
    """A good file that searches hide."""
    return plain(date, program, **cards)


SAMPLES: dict[str, Callable[..., bytes]] = {
    function.__name__: function
    for function in (
        plain,
        multi_extension,
        simple,
        no_telescop,
        zero_telescop,
        truncated,
        truncated_header,
        no_end,
        not_fits,
        empty,
        compressed,
        truncated_bz2,
        engineering,
    )
}


def sample(kind: str = "plain", **options: object) -> bytes:
    """A file by the name of its kind."""
    return SAMPLES[kind](**options)


def named(kind: str, stem: str, **options: object) -> tuple[str, bytes]:
    """With the name that the observatory would give it; the date in the stem (N20260101S0001) is the observation's."""
    ending = ".fits.bz2" if kind in ("compressed", "truncated_bz2") else ".fits"
    return stem + ending, sample(kind, **{"date": stem[1:9], **options})


def _primary(date: str, program: str, cards: dict[str, object]) -> fits.PrimaryHDU:
    hdu = fits.PrimaryHDU()
    values: dict[str, object] = {
        "TELESCOP": "Gemini-North",
        "INSTRUME": "GMOS-N",
        "OBJECT": "HD 1",
        "GEMPRGID": program,
        "OBSID": f"{program}-1",
        "DATALAB": f"{program}-1-001",
        "DATE-OBS": f"{date[:4]}-{date[4:6]}-{date[6:]}",
        "TIME-OBS": "06:00:00.0",
        "RAWGEMQA": "UNKNOWN",
        **{name.replace("_", "-"): value for name, value in cards.items()},
    }
    for name, value in values.items():
        if value is not None:
            hdu.header[name] = value
    return hdu


def _pixels(seed: int = 0) -> numpy.ndarray:
    return numpy.arange(seed, seed + 32 * 32, dtype="i2").reshape(32, 32)


def _bytes(hdus: list[fits.PrimaryHDU | fits.ImageHDU | fits.BinTableHDU | fits.CompImageHDU]) -> bytes:
    output = io.BytesIO()
    fits.HDUList(hdus).writeto(output, checksum=False)
    return output.getvalue()
