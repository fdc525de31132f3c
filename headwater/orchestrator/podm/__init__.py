# SPDX-License-Identifier: Apache-2.0
"""Pods: what tasks on pod managers and BMCs mean."""
