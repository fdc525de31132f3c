# SPDX-License-Identifier: Apache-2.0
"""Sphinx's configuration. tools/check builds with warnings as errors, and without a network."""

import subprocess
import sys
import warnings
from importlib.metadata import version as version_of
from pathlib import Path

# That it is in maintenance is known: see the decisions.
warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "_ext"))

project = "headwater"
copyright = "the headwater authors, Apache-2.0"
version = release = version_of("headwater")

extensions = [
    "myst_parser",
    "cliff.sphinxext",
    "oslo_config.sphinxext",
    "oslo_policy.sphinxext",
    "api_reference",
    "manage_reference",
    "page_titles",
    "script_reference",
    "sequence_diagram",
]
exclude_patterns = ["_build", "_ext"]


def _has_history() -> bool:
    """Whether all commits are here: not in a source distribution, not in a shallow clone."""
    try:
        done = subprocess.run(
            ["git", "-C", HERE, "rev-parse", "--is-shallow-repository"],
            check=True,
            capture_output=True,
            text=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return False
    return done.stdout.strip() == "false"


# reno reads the history, and breaks where it is cut off.
extensions.append("reno.sphinxext" if _has_history() else "no_history")

myst_enable_extensions = ["colon_fence"]
myst_fence_as_directive = ["mermaid"]
myst_heading_anchors = 3
# Others, such as oslo.config's, break on references that they do not know.
myst_ref_domains = ["std"]
autoprogram_cliff_application = "openstack"
autoprogram_cliff_app_dist_name = "headwater"
# What every command has; the pages say it once.
autoprogram_cliff_ignored = [
    *("--help", "--format", "--column", "--quote", "--noindent", "--max-width", "--fit-width"),
    *("--print-empty", "--sort-column", "--sort-ascending", "--sort-descending"),
    *("--prefix", "--variable"),
]

html_theme = "furo"
html_title = f"headwater {release}"
html_copy_source = False
html_show_sphinx = False
pygments_style = "friendly"
