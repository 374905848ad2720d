"""What a browser loads: the page at `/`, Swagger UI at `/docs`, and their files below `/web`."""

import functools
import gzip
import os
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import Headers
from starlette.types import Scope

PathLike = str | os.PathLike[str]

WEB = Path(__file__).parent.parent / "web"
# Results and covers come from whatever hosts RunningHub stores files on; all else from here alone.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self';"
    " img-src 'self' https: http: data: blob:; media-src 'self' https: http: blob:; connect-src 'self';"
    " form-action 'none';"
    " frame-ancestors 'none'; base-uri 'none'"
)
# Swagger UI sets style attributes.
DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)


COMPRESSED = (".js", ".css", ".svg")
KEPT_HEADERS = ("Content-Type", "Cache-Control", "ETag", "Last-Modified", "Vary")


class PageFiles(StaticFiles):
    """Browsers keep the files and check each time whether they are still current; text is sent compressed."""

    def file_response(
        self, full_path: PathLike, stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.setdefault("Cache-Control", "no-cache")
        if response.status_code != 200 or not str(full_path).endswith(COMPRESSED):
            return response
        response.headers["Vary"] = "Accept-Encoding"
        if "gzip" not in Headers(scope=scope).get("Accept-Encoding", ""):
            return response
        kept = {name: response.headers[name] for name in KEPT_HEADERS}
        content = _compressed(str(full_path), stat_result.st_mtime_ns)
        return Response(content, headers={**kept, "Content-Encoding": "gzip"})


@functools.lru_cache(maxsize=256)
def _compressed(path: str, _modified_ns: int) -> bytes:
    """The file in gzip; compressed once for each version of it."""
    return gzip.compress(Path(path).read_bytes(), compresslevel=9, mtime=0)


def install_pages(app: FastAPI) -> None:
    """Add the routes; no file is fetched from another host."""
    app.mount("/web", PageFiles(directory=WEB), name="web")
    app.add_api_route("/", page, include_in_schema=False)
    app.add_api_route("/docs", docs, include_in_schema=False)


async def page() -> FileResponse:
    return FileResponse(WEB / "index.html", headers={"Content-Security-Policy": PAGE_POLICY})


async def docs() -> FileResponse:
    return FileResponse(WEB / "swagger" / "index.html", headers={"Content-Security-Policy": DOCS_POLICY})
