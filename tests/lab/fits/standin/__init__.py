# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-ins for the programs of FITS Storage: real processes, real row locks, the real programs' manners and faults.

`lab.fits.root.install` copies this package beside the scripts. It needs Python 3.11, its standard library and psycopg2.
Whether a file works or fails is decided by `failures`; with the behaviour `real` (as on the laboratory's hosts) also by
the file itself, whose headers are read, and by the destination, which is talked to over HTTP.
"""
