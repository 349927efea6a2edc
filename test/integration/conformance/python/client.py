"""A client of the Python SDK (`mcp`) or of FastMCP (`fastmcp`): python client.py <kind>, with the visits as JSON on stdin.

A visit is {url, authorization, transport, mode, steps}; what each step gave is written as JSON to stdout, a list for each visit.
"""

import asyncio
import json
import sys

import anyio


def plain(value):
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", by_alias=True, exclude_none=True)
    if hasattr(value, "__dict__") and not isinstance(value, (str, int, float, bool)):
        return {key: plain(one) for key, one in vars(value).items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return value


async def play(client, steps, notes, call_tool):
    kinds = {
        "tools": lambda: client.list_tools(),
        "resources": lambda: client.list_resources(),
        "prompts": lambda: client.list_prompts(),
        "call": lambda: call_tool(step["name"], step.get("arguments", {})),
        "read": lambda: client.read_resource(step["uri"]),
        "prompt": lambda: client.get_prompt(step["name"], step.get("arguments", {})),
    }
    outcomes = []
    for step in steps:
        notes.clear()
        try:
            outcome = plain(await kinds[step["kind"]]())
        except Exception as error:  # An error is an outcome like any other.
            outcome = {"error": type(error).__name__, "message": str(error)}
        outcomes.append({"outcome": outcome, "progress": list(notes)})
    return outcomes


async def visit_sdk(visit):
    import httpx2
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    notes = []

    async def progress(done, total, message):
        notes.append([done, total])

    headers = {"authorization": visit["authorization"]}
    async with httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(20)) as http:
        transport = streamable_http_client(visit["url"], http_client=http)
        async with Client(transport, mode=visit["mode"]) as client:
            call = lambda name, args: client.call_tool(name, args, progress_callback=progress)
            first = {"version": client.protocol_version, "server": plain(client.server_info)}
            return [first, *await play(client, visit["steps"], notes, call)]


async def visit_fastmcp(visit):
    from fastmcp import Client
    from fastmcp.client.transports import SSETransport, StreamableHttpTransport

    notes = []

    async def progress(done, total, message):
        notes.append([done, total])

    Transport = SSETransport if visit["transport"] == "sse" else StreamableHttpTransport
    transport = Transport(visit["url"], headers={"authorization": visit["authorization"]})
    async with Client(transport, mode=visit["mode"], progress_handler=progress, timeout=20) as client:
        call = lambda name, args: client.call_tool(name, args, raise_on_error=False)
        first = {"version": client.protocol_version, "server": plain(client.server_info)}
        return [first, *await play(client, visit["steps"], notes, call)]


async def main():
    visiting = {"mcp": visit_sdk, "fastmcp": visit_fastmcp}[sys.argv[1]]
    answers = []
    for visit in json.load(sys.stdin):
        with anyio.fail_after(40):
            answers.append(await visiting(visit))
    json.dump(answers, sys.stdout)


asyncio.run(main())
