# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-in for FITS Storage's copy_from_visiting_instrument.py; see the package `standin`."""

from fits_storage.standin.copy_visitor import main  # type: ignore[import-not-found]  # exists below an installed root only

if __name__ == "__main__":
    main(__file__)
