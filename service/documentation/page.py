"""The page at /docs: Swagger UI from the installed package, so that it works on a network without a way out."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Final

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

__all__ = ["router"]

router = APIRouter(include_in_schema=False)
_OWN = Path(__file__).parent
_TYPES: Final = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "start.js": "text/javascript",
}
_HEADERS: Final = {
    # Everything from this origin, nothing inline, and no other page may frame it: it may hold somebody's API key.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


@router.get("/docs")
async def page() -> Response:
    """Returns the page; its links are relative, so that it works behind a proxy's prefix, too."""
    html = (_OWN / "page.html").read_text().replace("VERSION", _release())
    return Response(html, headers={**_HEADERS, "Cache-Control": "no-cache"}, media_type="text/html; charset=utf-8")


@router.get("/docs/{name}")
async def part(name: str) -> Response:
    """Returns a script or a style of the page; it may be kept, because its address changes with its content."""
    if name not in _TYPES:
        raise HTTPException(404)
    path = _OWN / name if name == "start.js" else _swagger_ui() / name
    cached = {"Cache-Control": "public, max-age=31536000, immutable"}
    return FileResponse(path, headers=_HEADERS | cached, media_type=f"{_TYPES[name]}; charset=utf-8")


@cache
def _release() -> str:
    """Returns what changes when a script or a style does."""
    own = (_OWN / "start.js").read_bytes()
    return hashlib.sha256(version("fastapi-offline").encode() + own).hexdigest()[:12]


@cache
def _swagger_ui() -> Path:
    """Returns where the installed package keeps Swagger UI's files."""
    return Path(str(files("fastapi_offline") / "static"))
