# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each kind of object has: its fields with their types and defaults, those that it needs, and the objects that it refers to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

COMMON: dict[str, Any] = {"name": "", "description": ""}
ASKS = ("variables", "limit", "job_type", "diff_mode", "inventory", "credential", "job_slice_count", "tags", "skip_tags", "verbosity", "scm_branch")
PROMPTS: dict[str, Any] = {"extra_data": {}, "inventory": None, "limit": None, "job_type": None, "job_slice_count": None, "diff_mode": None}


@dataclass(frozen=True)
class Kind:
    """One list of the API."""

    type: str
    fields: dict[str, Any]
    needed: tuple[str, ...] = ("name",)
    refers: dict[str, str] = field(default_factory=dict)
    """Field to the list that it is of."""
    links: dict[str, str] = field(default_factory=dict)
    """Associations below an object, and the list that their members are of."""
    unique: tuple[str, ...] = ("name", "organization")
    ignored: tuple[str, ...] = ()
    """AWX takes these and does nothing with them."""


MESSAGES = {f"notification_templates_{when}": "notification_templates" for when in ("started", "success", "error")}
KINDS = {
    "organizations": Kind("organization", COMMON, unique=("name",)),
    "execution_environments": Kind("execution_environment", {**COMMON, "image": "", "organization": None}, refers={"organization": "organizations"}),
    "credential_types": Kind(
        "credential_type", {**COMMON, "kind": "", "inputs": {}, "injectors": {}, "managed": False}, ("name", "kind"), unique=("name", "kind")
    ),
    "notification_templates": Kind(
        "notification_template",
        {**COMMON, "organization": 0, "notification_type": "", "notification_configuration": {}, "messages": {}},
        ("name", "organization", "notification_type"),
        {"organization": "organizations"},
    ),
    "projects": Kind(
        "project",
        {**COMMON, "organization": 0, "scm_type": "", "scm_url": "", "scm_branch": "", "scm_update_on_launch": False, "scm_update_cache_timeout": 0},
        ("name", "organization"),
        {"organization": "organizations"},
    ),
    "inventories": Kind(
        "inventory",
        {**COMMON, "organization": 0, "kind": "", "host_filter": None, "variables": ""},
        ("name", "organization"),
        {"organization": "organizations"},
    ),
    "inventory_sources": Kind(
        "inventory_source",
        {
            **COMMON,
            "inventory": 0,
            "source": "",
            "source_project": None,
            "source_path": "",
            "update_on_launch": False,
            "update_cache_timeout": 0,
            "overwrite": False,
            "overwrite_vars": False,
        },
        ("name", "inventory", "source"),
        {"inventory": "inventories", "source_project": "projects"},
        unique=("name", "inventory"),
    ),
    "job_templates": Kind(
        "job_template",
        {
            **COMMON,
            "job_type": "run",
            "inventory": None,
            "project": 0,
            "playbook": "",
            "forks": 0,
            "limit": "",
            "extra_vars": "",
            "organization": None,
            "execution_environment": None,
            "survey_enabled": False,
            "allow_simultaneous": False,
            "use_fact_cache": False,
            "job_slice_count": 1,
            **{f"ask_{what}_on_launch": False for what in ASKS},
        },
        ("name", "project", "playbook"),
        {"inventory": "inventories", "project": "projects", "execution_environment": "execution_environments"},
        MESSAGES,
        ignored=("organization",),
    ),
    "workflow_job_templates": Kind(
        "workflow_job_template",
        {
            **COMMON,
            "organization": None,
            "inventory": None,
            "limit": None,
            "extra_vars": "",
            "survey_enabled": False,
            "allow_simultaneous": False,
            **{f"ask_{what}_on_launch": False for what in ("variables", "limit", "inventory", "scm_branch")},
        },
        refers={"organization": "organizations", "inventory": "inventories"},
        links={**MESSAGES, "notification_templates_approvals": "notification_templates"},
    ),
    "workflow_job_template_nodes": Kind(
        "workflow_job_template_node",
        {**PROMPTS, "identifier": "", "workflow_job_template": 0, "unified_job_template": None, "all_parents_must_converge": False},
        ("workflow_job_template",),
        {"workflow_job_template": "workflow_job_templates", "unified_job_template": "unified_job_templates", "inventory": "inventories"},
        {f"{when}_nodes": "workflow_job_template_nodes" for when in ("success", "failure", "always")},
        unique=("identifier", "workflow_job_template"),
        ignored=("type",),
    ),
    "workflow_approval_templates": Kind("workflow_approval_template", {**COMMON, "timeout": 0}, unique=("id",)),
    "schedules": Kind(
        "schedule",
        {**COMMON, **PROMPTS, "rrule": "", "unified_job_template": 0, "enabled": True},
        ("name", "rrule", "unified_job_template"),
        {"unified_job_template": "unified_job_templates", "inventory": "inventories"},
        unique=("name", "unified_job_template"),
    ),
}
UNIFIED = ("projects", "inventory_sources", "job_templates", "workflow_job_templates")
