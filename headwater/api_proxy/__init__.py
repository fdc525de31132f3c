# SPDX-License-Identifier: Apache-2.0
"""The gateway: forwards API calls to the central cloud and records what changed."""
