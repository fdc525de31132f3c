# SPDX-License-Identifier: Apache-2.0
"""Plays BMCs for `bench.pods`: python -m bench.bmcs NUMBER.

Prints their ports as a JSON list and serves until its standard input ends. They answer at once; the
last of them never does.
"""

import asyncio
import json
import sys

from tests.support.redfish import SYSTEM, SYSTEMS


def main() -> None:
    """Play them."""
    number = int(sys.argv[1])
    documents = {
        "/redfish/v1": {
            "@odata.id": "/redfish/v1/",
            "Id": "RootService",
            "Name": "Root Service",
            "RedfishVersion": "1.6.0",
            "Systems": {"@odata.id": SYSTEMS},
        },
        SYSTEMS: {"@odata.id": SYSTEMS, "Name": "Systems", "Members": [{"@odata.id": SYSTEM}]},
        SYSTEM: {
            "@odata.id": SYSTEM,
            "Id": "1",
            "Name": "server",
            "PowerState": "Off",
            "Status": {"Health": "OK"},
            "ProcessorSummary": {"Count": 2},
            "MemorySummary": {"TotalSystemMemoryGiB": 96},
        },
    }
    answers = {
        path: _answer("200 OK", json.dumps(document)) for path, document in documents.items()
    }

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ", 2)[1].decode().rstrip("/")
        writer.write(answers.get(path, _answer("404 Not Found", "{}")))
        await writer.drain()
        writer.close()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def run() -> None:
        servers = [await asyncio.start_server(answer, "127.0.0.1", 0) for _ in range(number - 1)]
        servers.append(await asyncio.start_server(silent, "127.0.0.1", 0))
        print(json.dumps([server.sockets[0].getsockname()[1] for server in servers]), flush=True)
        await asyncio.to_thread(sys.stdin.read)

    asyncio.run(run())


def _answer(status: str, body: str) -> bytes:
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"
    ).encode()


if __name__ == "__main__":
    main()
