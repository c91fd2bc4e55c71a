# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sample files are what they say, by astropy's own judgement, and the stand-ins' reader agrees with it."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from astropy.io import fits

from lab.fits.sample_files import SAMPLES, named, sample
from lab.fits.standin import fitsfile

UNREADABLE = {"truncated_header", "no_end", "not_fits", "empty", "truncated_bz2"}


@pytest.mark.parametrize("kind", SAMPLES)
def test_opens_or_not(kind: str, tmp_path: Path) -> None:
    name, content = named(kind, "N20260102S0001")
    path = tmp_path / name
    path.write_bytes(content)
    assert content == sample(kind, date="20260102")
    if kind in UNREADABLE:
        with pytest.raises((OSError, EOFError)), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _open(path)
        with pytest.raises(fitsfile.NotFits):
            fitsfile.primary(str(path))
        return
    names = _open(path)
    header = fitsfile.primary(str(path))
    assert {key: header.get(key) for key in names} == names
    assert bool(fitsfile.errors(str(path))) == (kind == "truncated")


def _open(path: Path) -> dict[str, object]:
    """Some cards, with all headers read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fits.open(path, lazy_load_hdus=False) as hdus:
            assert len(hdus) >= 1
            return {key: hdus[0].header.get(key) for key in ("SIMPLE", "NAXIS", "TELESCOP", "DATE-OBS", "GEMPRGID")}


def test_multi_extension(tmp_path: Path) -> None:
    content = sample("multi_extension")
    path = tmp_path / "m.fits"
    path.write_bytes(content)
    with fits.open(path) as hdus:
        count = len(hdus)
    assert len(fitsfile.headers(content)) == count == 6
