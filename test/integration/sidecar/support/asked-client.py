"""A client of the Python SDK that opens URLs: asked-client.py <url> <authorization> <mode>.

Says `opened <url>` when it is led to a page, and at last `result <json>` or `error <json>`.
"""

import asyncio
import json
import sys


async def main(url, authorization, mode):
    import httpx2
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client
    from mcp_types import ElicitResult

    async def opens(context, params):
        print("opened", params.url, flush=True)
        return ElicitResult(action="accept")

    headers = {"authorization": authorization}
    async with httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(30, read=300)) as http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(transport, mode=mode, elicitation_callback=opens) as client:
            try:
                result = await client.call_tool("echo", {"text": "hello"})
                print("result", result.model_dump_json(by_alias=True, exclude_none=True), flush=True)
            except Exception as error:
                code, data = getattr(error, "code", None), getattr(error, "data", None)
                inner = getattr(error, "error", None)
                if inner is not None:
                    code, data = inner.code, inner.data
                print("error", json.dumps({"code": code, "data": data}, default=str), flush=True)


asyncio.run(main(*sys.argv[1:]))
