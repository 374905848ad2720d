"""From a bearer token to the user it belongs to: a named user's token, or a JWT."""

from db.user_rows import UserRows
from models import Principal
from users.jwt_verifier import JwtVerifier
from users.tokens import is_user_token, token_hash


class Authenticator:
    """Knows every kind of user. `verifier` is None where the settings accept no JWT."""

    def __init__(self, users: UserRows, verifier: JwtVerifier | None) -> None:
        self._users = users
        self._verifier = verifier

    async def user(self, token: bytes) -> Principal | None:
        """Whose token this is; None: nobody's. Raises InvalidJwt for a JWT that is not valid."""
        if is_user_token(token):
            user = await self._users.find_by_token(token_hash(token))
            return self._users.principal(user.name, user) if user else None
        if self._verifier is not None and token.count(b".") == 2:
            owner = await self._verifier.owner(token)
            return self._users.principal(owner, await self._users.find(owner))
        return None
