"""What a run costs, and whether an account can pay for it."""

from dataclasses import dataclass
from decimal import Decimal

from simulator.switches import Account, Switches

COINS_PER_SECOND = 0.2
MONEY_PER_COIN = Decimal("0.01")
UNLIMITED_COINS = 99_999
"""What an account has left whose coins are not limited."""
_FACTORS = {"plus": 2, "ultra": 4}


@dataclass(frozen=True, slots=True)
class Payment:
    """The cost of one run: coins, or money where the coins were not enough."""

    coins: int = 0
    money: Decimal = Decimal(0)


def price(switches: Switches, run_time: float, instance_type: str) -> int:
    """The coins that a run costs."""
    by_time = max(1, round(max(1, round(run_time)) * COINS_PER_SECOND))
    coins = by_time if switches.run_coins is None else switches.run_coins
    return coins * _FACTORS.get(instance_type, 1)


def payment_of(account: Account, coins: int) -> Payment | None:
    """How an account pays for a run, or None when it has not enough left."""
    if account.coins is None or account.coins >= coins:
        return Payment(coins=coins)
    money = coins * MONEY_PER_COIN
    if account.money is not None and account.money >= money:
        return Payment(money=money)
    return None


def charge(account: Account, payment: Payment) -> None:
    """Take a payment from an account."""
    if account.coins is not None:
        account.coins -= payment.coins
    if account.money is not None:
        account.money -= payment.money


def refund(account: Account, payment: Payment) -> None:
    """Give a payment back: failed and cancelled tasks are not charged for."""
    charge(account, Payment(-payment.coins, -payment.money))


def coins_left(account: Account) -> str:
    """An account's coins as RunningHub prints them."""
    coins = UNLIMITED_COINS if account.coins is None else account.coins
    return str(int(coins) if coins == int(coins) else coins)
