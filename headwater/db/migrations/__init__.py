# SPDX-License-Identifier: Apache-2.0
"""Alembic environment and revisions."""
