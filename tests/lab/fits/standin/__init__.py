"""Stand-ins for the programs of FITS Storage: real processes, real row locks, the real programs' manners and faults.

`lab.fits.root.install` copies this package beside the scripts. It needs the standard library and psycopg2 only, and
runs on the Python 3.8 of an old server as well. What it leaves out: reading FITS files and talking HTTP; whether a file
works or fails is decided by `failures`.
"""
