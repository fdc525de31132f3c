# SPDX-License-Identifier: Apache-2.0
"""Build entry point for tools that still call setup.py; all metadata is in pyproject.toml."""

import setuptools

setuptools.setup()
