# SPDX-License-Identifier: Apache-2.0
"""What every floor may use: errors, states, configuration, endpoint types, secrets."""
