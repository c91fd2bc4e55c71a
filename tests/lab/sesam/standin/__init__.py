# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in of a Sesam node, which is closed software: a server with what its documentation says, and what a client may have to endure.

It needs nothing but Python's standard library (3.8 and later). It runs as `lake -l LOGS -d DATA ...`; what the laboratory wants of it is in
`control.json` in the folder that LAB_SESAM names, and may be changed while it runs.
"""
