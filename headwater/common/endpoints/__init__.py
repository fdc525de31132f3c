# SPDX-License-Identifier: Apache-2.0
"""Endpoint types: the APIs that the gateway fronts, described as data."""
