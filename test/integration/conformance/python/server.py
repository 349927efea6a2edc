"""A server of the Python SDK (`mcp`) or of FastMCP (`fastmcp`): python server.py <kind> <port> <authorization>."""

import asyncio
import sys

async def report(ctx) -> str:
    for step in range(1, 4):
        await ctx.report_progress(step, 3)
        await asyncio.sleep(0.02)
    return "reported"


def judge(headers) -> str:
    """Does not repeat the key: a proxy that hands keys out does not let them come back."""
    return "the key is right" if headers.get("authorization") == sys.argv[3] else "the key is wrong"


def sdk(port: int) -> None:
    from mcp.server.mcpserver import Context, MCPServer

    server = MCPServer("python-sdk", version="1.0.0")

    @server.tool()
    def knows_key(ctx: Context) -> str:
        """Whether the server was shown the key."""
        return judge(ctx.headers)

    @server.tool()
    async def progress(ctx: Context) -> str:
        """Reports how far it is."""
        return await report(ctx)

    add_the_rest(server)
    server.run("streamable-http", host="127.0.0.1", port=port)


def fastmcp(port: int, transport: str = "http") -> None:
    from fastmcp import Context, FastMCP
    from fastmcp.server.dependencies import get_http_headers

    server = FastMCP("fastmcp", version="1.0.0")

    @server.tool()
    def knows_key() -> str:
        """Whether the server was shown the key."""
        return judge(get_http_headers(include={"authorization"}))

    @server.tool()
    async def progress(ctx: Context) -> str:
        """Reports how far it is."""
        return await report(ctx)

    add_the_rest(server)
    server.run(transport, show_banner=False, host="127.0.0.1", port=port)


def add_the_rest(server) -> None:
    @server.tool()
    def echo(text: str, times: int = 1) -> str:
        """Says it again."""
        return text * times

    @server.tool()
    def fail() -> str:
        """Fails."""
        raise ValueError("on purpose")

    @server.resource("test://static-text")
    def static_text() -> str:
        """A text."""
        return "This is the content of the static text resource."

    @server.prompt()
    def greet(name: str) -> str:
        """Greets."""
        return f"Greet {name}"


def fastmcp_sse(port: int) -> None:
    fastmcp(port, "sse")


{"mcp": sdk, "fastmcp": fastmcp, "fastmcp-sse": fastmcp_sse}[sys.argv[1]](int(sys.argv[2]))
