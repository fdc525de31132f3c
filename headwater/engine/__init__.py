# SPDX-License-Identifier: Apache-2.0
"""The mechanism: durable work, claims, execution, retries. Knows neither HTTP nor clouds."""
