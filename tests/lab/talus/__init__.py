# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-ins of Talus: the daemons `master` and `slave`, the web application, and what its database container does at its start.

The database and the broker are real ones. `lab.hosts` makes a host of it all: the site `talus-master`.
"""
