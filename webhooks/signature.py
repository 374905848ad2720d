"""Signs webhooks as the Standard Webhooks specification says, see https://www.standardwebhooks.com."""

from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import SecretStr
from standardwebhooks import Webhook


class WebhookSigner:
    """With two secrets, a webhook has a signature of each: receivers accept either while one is replaced."""

    def __init__(self, secrets: Sequence[SecretStr]) -> None:
        self._webhooks = [Webhook(secret.get_secret_value()) for secret in secrets]

    def headers(self, webhook_id: str, now_ms: int, body: str) -> dict[str, str]:
        # UTC: the library signs the wrong time with any other zone.
        at = datetime.fromtimestamp(now_ms // 1000, UTC)
        signatures = [webhook.sign(webhook_id, at, body) for webhook in self._webhooks]
        return {
            "webhook-id": webhook_id,
            "webhook-timestamp": str(now_ms // 1000),
            "webhook-signature": " ".join(signatures),
        }
