"""The stack of middlewares that every request passes, and their order."""

from fastapi import FastAPI

from api.auth import AuthMiddleware
from api.body_structure import BodyStructureMiddleware
from api.body_timeout import BodyTimeoutMiddleware
from api.cors import cors_middleware
from api.head import HeadMiddleware
from api.open_requests import OpenRequests, OpenRequestsMiddleware
from api.problems import install_problem_handlers
from api.request_log import RequestLogMiddleware
from api.security_headers import SecurityHeadersMiddleware
from api.startup_error import StartupMiddleware
from config import Settings


def install_middleware(app: FastAPI, settings: Settings) -> None:
    """From the innermost to the outermost; each also adds its part to the problems of those inside it."""
    app.add_middleware(BodyStructureMiddleware)
    app.add_middleware(BodyTimeoutMiddleware)
    install_problem_handlers(app)
    app.add_middleware(AuthMiddleware, settings=settings)
    app.state.open_requests = OpenRequests()
    app.add_middleware(OpenRequestsMiddleware, requests=app.state.open_requests)
    app.add_middleware(SecurityHeadersMiddleware)
    app.add_middleware(cors_middleware, settings=settings)
    app.add_middleware(HeadMiddleware)
    app.add_middleware(RequestLogMiddleware)
    app.add_middleware(StartupMiddleware)
