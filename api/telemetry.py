"""Traces by FastAPI's own OpenTelemetry support: which requests have a span, and what is never in one.

Off unless OTEL_EXPORTER_OTLP_ENDPOINT or its like is set: without a provider, nothing is recorded.
"""

from collections.abc import MutableMapping
from typing import Any

from fastapi.telemetry import TelemetryConfig
from opentelemetry import trace

from api.request_log import loggable_path

# No span for what lasts as long as its client wishes, and for what is called every few seconds.
UNTRACED_PATHS = frozenset({"/health", "/ready", "/metrics"})
HIDDEN = "***"


def is_untraced(scope: MutableMapping[str, Any]) -> bool:
    """Whether a request is a stream, a long poll or a check: its span would say nothing."""
    if scope["type"] != "http":
        return True
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    is_stream = path.startswith("/tasks/") and path.endswith("/events")
    return path in UNTRACED_PATHS or is_stream or b"wait=" in scope["query_string"]


# Neither bodies nor the texts of exceptions: `logs` and `operation_spans` would add them.
TELEMETRY = TelemetryConfig(
    auto_configure=True, metrics=False, logs=False, operation_spans=False, exclude=is_untraced
)


class HideSecrets:
    """A span processor: signatures and keys are in some addresses, so that no span keeps a query."""

    def on_start(self, span: trace.Span, parent_context: Any = None) -> None:
        attributes = getattr(span, "attributes", None) or {}
        if "url.query" in attributes:
            span.set_attribute("url.query", HIDDEN)
        if isinstance(path := attributes.get("url.path"), str):
            span.set_attribute("url.path", loggable_path(path))

    def _on_ending(self, span: trace.Span) -> None: ...

    def on_end(self, span: Any) -> None: ...

    def shutdown(self) -> None: ...

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


def hide_secrets_in_spans() -> None:
    """Add HideSecrets to the provider that FastAPI, or whoever starts the service, has set up."""
    provider: Any = trace.get_tracer_provider()
    if hasattr(provider, "add_span_processor"):
        provider.add_span_processor(HideSecrets())
