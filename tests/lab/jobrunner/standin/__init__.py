# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in of job-runner as it was at the beginning of 2024.

It keeps the same tables, moves jobs through the same states by what Docker says, uses the same command line client, and has the same
defects: one job's internal error ends the main loop, an unknown word in a row ends everything, its commands ask questions on standard input.
What it leaves out: studies are not checked out from git, there is no telemetry. It is written from a description of the behaviour.
On a host it is installed as the package ``jobrunner``.
"""
