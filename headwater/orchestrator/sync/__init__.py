# SPDX-License-Identifier: Apache-2.0
"""Replay of recorded changes on one subcloud."""
