# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets of the laboratory's backends, easy to find in whatever must not hold them."""

SECRETS = {
    "JOB_SERVER_TOKEN": "lab-secret-token-4f1c",
    "PRIVATE_REPO_ACCESS_TOKEN": "lab-secret-repo-77ab",
    "DEFAULT_DATABASE_URL": "mssql://runner:lab-secret-password-90de@192.0.2.10:1433/OpenCORONA",
    "INCLUDE_T1OO_DATABASE_URL": "mssql://runner:lab-secret-password-31c7@192.0.2.10:1433/OpenCORONA_T1OO",
}
MARK = "lab-secret-"
"""What every one of them has in it."""
