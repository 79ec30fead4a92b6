"""Serving the page: from one folder, to known hosts, with nothing fetched from anywhere."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sat3d.app.session import Session
from sat3d.app.uploads import MOST_BYTES

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# Gradio's front end makes its templates into functions, so it cannot do without unsafe-eval.
POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; frame-ancestors 'self'; form-action 'self'; base-uri 'self'"
)
# Routes of Gradio that fetch what a visitor names, or that this page has no use for.
CLOSED = ("file=http:", "file=https:", "proxy=", "/mcp", "/monitoring", "/deep_link", "/vibe", "/dev/")


class Guard:
    """Refuse what does not come from the page itself, and forbid the page to ask for anything elsewhere.

    Args:
        app: that is guarded.
        hosts: names that this server goes by; others are refused, so that no foreign name can be pointed at it. `None`
            takes any.
    """

    def __init__(self, app: Any, hosts: tuple[str, ...] | None = None) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, as ASGI has it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if not self._allowed(scope, headers):
            await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": b"refused"})
            return

        async def guarded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                own = [(b"content-security-policy", POLICY.encode()), (b"x-content-type-options", b"nosniff")]
                own.append((b"referrer-policy", b"no-referrer"))
                message["headers"] = [*message.get("headers", []), *own]
            await send(message)

        await self.app(scope, receive, guarded)

    def _allowed(self, scope: Scope, headers: dict[bytes, str]) -> bool:
        host = headers.get(b"host", "")
        if self.hosts is not None and _name(host) not in self.hosts:
            return False
        if scope["type"] == "websocket" or any(part in scope["path"].lower() for part in CLOSED):
            return False
        origin = headers.get(b"origin")
        return scope["method"] in ("GET", "HEAD") or origin is None or origin.partition("://")[2] == host


def _name(host: str) -> str:
    return host.rpartition(":")[0].strip("[]") if not host.endswith("]") and ":" in host else host.strip("[]")


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True)
class Served:
    """Hold a page that is being served.

    Args:
        url: where.
        close: ends it.
    """

    url: str
    close: Callable[[], None]


def serve(
    session: Session, folder: Path, *, host: str = "127.0.0.1", port: int | None = None, open_browser: bool = False
) -> Served:
    """Serve the page from a thread of its own, until it is closed.

    Args:
        session: that the page shows.
        folder: for uploads, which are removed when they are read, and downloads; nothing is written elsewhere.
        host: address to listen on.
        port: to listen on; the first free one from 7860 on, if not given.
        open_browser: show it at once.

    Raises:
        ImportError: without Gradio.
        OSError: if the port is taken or the address is none of this machine's.
    """
    scratch = folder / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    # Gradio reads its environment when it is imported, and would call home without these.
    os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1", "GRADIO_SHARE": "False"}
    os.environ |= {"GRADIO_TEMP_DIR": str(scratch), "HF_HUB_OFFLINE": "1", "GRADIO_SSR_MODE": "False"}
    try:
        import gradio
    except ImportError as error:
        raise ImportError("the page needs Gradio: pip install 'sat3d[app]'") from error
    from starlette.middleware import Middleware

    from sat3d.app.downloads import forget_uploads
    from sat3d.app.page import build, look_of

    port = port or _free_port(host)
    hosts = ("127.0.0.1", "localhost", "::1", host) if is_loopback(host) else None
    page = build(gradio, session, scratch)
    page.queue(default_concurrency_limit=1, max_size=64, api_open=False)
    _, url, _ = page.launch(
        server_name=host,
        server_port=port,
        share=False,
        quiet=True,
        inbrowser=open_browser,
        prevent_thread_lock=True,
        show_error=True,
        allowed_paths=[],
        max_file_size=MOST_BYTES,
        app_kwargs={"middleware": [Middleware(Guard, hosts=hosts)], "docs_url": None, "redoc_url": None},
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
        footer_links=[],
        **look_of(gradio),
    )

    def close() -> None:
        page.close(verbose=False)
        forget_uploads(scratch, life=-1.0)

    return Served(url, close)


def _free_port(host: str, first: int = 7860, tries: int = 100) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in range(first, first + tries):
        with socket.socket(family) as found:
            try:
                found.bind((host, port))
            except PermissionError:
                raise
            except OSError as error:
                if port == first + tries - 1:
                    raise OSError(
                        f"host={host!r}: no port from {first} to {port} can be taken ({error.strerror})"
                    ) from error
                continue
            return port
    raise AssertionError
