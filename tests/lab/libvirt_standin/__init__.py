# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in of libvirt's Python library, for tests that need a fix to run on this machine: where it is killed, and where it meets what no real host gives
at will.

It is no hypervisor: domains and networks are rows of a JSON file, so that they outlive a connection and a process, as those of a daemon do. `library.py` is
what is imported as `libvirt`; `state.py` makes and reads the file. The error numbers are those of the real library, which the tests on hosts meet.
"""
