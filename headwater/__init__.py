# SPDX-License-Identifier: Apache-2.0
"""headwater: gateway proxy and orchestration engine for distributed OpenStack clouds."""
