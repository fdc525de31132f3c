# SPDX-License-Identifier: Apache-2.0
"""Headwater's HTTP services as WSGI callables for gunicorn, uWSGI and other threaded servers.

`headwater.wsgi.api_proxy:application` is the gateway of one endpoint type,
`headwater.wsgi.api:application` the orchestrator's own API. Nothing is monkey-patched: threads are
ordinary ones, and so are the server's. A process serves one of them.

The environment says how:

HEADWATER_CONFIG_FILES
    Configuration files, separated as in PATH (`os.pathsep`). Without it, the usual search path of
    oslo.config applies, such as /etc/headwater/headwater.conf.
HEADWATER_ENDPOINT_TYPE
    The endpoint type that the gateway serves; needed where more than one is enabled.

A configuration that cannot work ends the import with a ConfigurationError of one line. What belongs
to one process is made at its first call, after whatever forks the server does.
"""
