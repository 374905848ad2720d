"""A small app behind the real middlewares, and what they respond."""

from typing import Any

import httpx
from fastapi import Depends, FastAPI, Request
from starlette.responses import Response

from api.middleware import install_middleware
from api.rate_limit import RateLimiter
from tests.settings import GivenSettings

HOOK = "/webhooks/runninghub/t1/5ec2e7"
TOKENS = "first-token,second-töken"

UNAUTHORIZED = {
    "type": "/docs#problem-unauthorized",
    "title": "The access token is missing or invalid",
    "status": 401,
    "detail": "Send one of the service's access tokens: Authorization: Bearer <token>.",
    "code": "unauthorized",
}


def forbidden(detail: str) -> dict[str, Any]:
    return {
        "type": "/docs#problem-forbidden_host",
        "title": "The request is addressed to a host, or comes from an origin, that is not allowed",
        "status": 403,
        "detail": detail,
        "code": "forbidden_host",
    }


FORBIDDEN_HOST = forbidden(
    "Without ACCESS_TOKENS this service responds only to loopback names. "
    "Set ACCESS_TOKENS, or add the host's name to ALLOWED_HOSTS."
)
FORBIDDEN_ORIGIN = forbidden(
    "Pages of this origin may not call this service. Add the origin to CORS_ORIGINS."
)
FORBIDDEN_PREFLIGHT = forbidden(
    "This origin, method or header is not allowed here; CORS_ORIGINS lists the origins."
)


def service(base_url: str = "http://localhost:8000", root_path: str = "", **values: Any) -> httpx.AsyncClient:
    """A client of a small app behind the settings `values`."""
    settings = GivenSettings(**{"_env_file": None} | values)
    limiter = RateLimiter(settings)
    app = FastAPI(docs_url=None, redoc_url=None)
    install_middleware(app, settings)

    @app.post("/submit_task", dependencies=[Depends(limiter.check)])
    @app.post("/upload", dependencies=[Depends(limiter.check)])
    @app.post(HOOK)
    @app.get("/tasks")
    @app.get("/health")
    @app.get("/ready")
    @app.get("/docs")
    @app.get("/docs/swagger-ui.css")
    @app.get("/web/page.js")
    @app.get("/")
    async def ok() -> dict[str, bool]:
        return {"ok": True}

    @app.post("/get_node_info")
    async def get_node_info(body: dict[str, bool], request: Request) -> dict[str, bool]:
        if body.get("refresh"):
            await limiter.check(request)
        return {"ok": True}

    @app.get("/page")
    async def page() -> Response:
        return Response(
            "", headers={"Cache-Control": "max-age=60", "Content-Security-Policy": "default-src 'self'"}
        )

    transport = httpx.ASGITransport(app, root_path=root_path)
    return httpx.AsyncClient(transport=transport, base_url=base_url)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
