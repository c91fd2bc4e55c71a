# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where runs of this system are taken back."""

from __future__ import annotations

from typing import Dict

from ..procedure.undo import StoreFactory
from .destroy import DomainStore
from .network import NetworkStore

STORES: Dict[str, StoreFactory] = {"libvirt_domain_destroy": DomainStore, "libvirt_network": NetworkStore}
