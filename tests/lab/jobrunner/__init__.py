# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The job-runner of a backend: a stand-in of the program, the tables it keeps, and backends whose containers are real."""
