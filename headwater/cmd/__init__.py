# SPDX-License-Identifier: Apache-2.0
"""Composition roots: one module per console script."""
