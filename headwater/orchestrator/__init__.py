# SPDX-License-Identifier: Apache-2.0
"""What work means: replaying changes on subclouds."""
