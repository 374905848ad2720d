"""How many uploads may run at the same time."""

from contextlib import ExitStack

import pytest

from api.upload_slots import RETRY_AFTER_S, UploadSlots
from errors import RateLimited


def test_one_client_cannot_take_all_slots() -> None:
    slots = UploadSlots(at_once=10, per_client=2)
    with ExitStack() as uploads:
        for _ in range(2):
            uploads.enter_context(slots.used_by("a"))
        with pytest.raises(RateLimited) as raised, slots.used_by("a"):
            pass
        assert raised.value.retry_after == RETRY_AFTER_S
        with slots.used_by("b"):
            pass


def test_all_clients_together_have_a_limit() -> None:
    slots = UploadSlots(at_once=2, per_client=2)
    with slots.used_by("a"), slots.used_by("b"), pytest.raises(RateLimited), slots.used_by("c"):
        pass


def test_a_slot_is_free_again_however_an_upload_ends() -> None:
    slots = UploadSlots(at_once=1, per_client=1)
    with pytest.raises(ValueError, match="broken"), slots.used_by("a"):
        raise ValueError("broken")
    with slots.used_by("a"):
        pass
