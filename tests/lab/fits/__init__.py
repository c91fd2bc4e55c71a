# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""FITS Storage in the laboratory: database, faults, workers and the command-line stand-ins, for three generations.

A is the runbook's own era (2020), B is shortly before the rewrite (2023), C is the rewrite.
"""
