"""CORS: which pages' scripts may read responses. Never `*` and no credentials: a token is a header."""

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from api.problems import problem_response
from config import Settings
from errors import ForbiddenHost

LOOPBACK_ORIGIN = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?"
METHODS = ("GET", "HEAD", "POST", "PATCH", "DELETE")
REQUEST_HEADERS = (
    *("Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", "X-Request-ID"),
    *("If-None-Match", "If-Range", "Range"),
)
RESPONSE_HEADERS = (
    *("Location", "Retry-After", "X-Request-ID"),
    *("Accept-Ranges", "Content-Disposition", "Content-Length", "Content-Range", "ETag"),
)


class ProblemCORSMiddleware(CORSMiddleware):
    """Starlette's CORS, with a problem in place of its plain text when it rejects a preflight."""

    def preflight_response(self, request_headers: Headers) -> Response:
        response = super().preflight_response(request_headers)
        if response.status_code == 200:
            return response
        refusal = ForbiddenHost(
            "This origin, method or header is not allowed here; CORS_ORIGINS lists the origins."
        )
        return problem_response(refusal, {"Vary": response.headers["Vary"]})


def cors_middleware(app: ASGIApp, settings: Settings) -> ProblemCORSMiddleware:
    return ProblemCORSMiddleware(
        app,
        allow_origins=settings.cors_origins,
        allow_origin_regex=None if settings.cors_origins else LOOPBACK_ORIGIN,
        allow_methods=METHODS,
        allow_headers=REQUEST_HEADERS,
        expose_headers=RESPONSE_HEADERS,
    )
