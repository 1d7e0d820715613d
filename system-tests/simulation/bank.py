"""The payment gateway, and its own books: what it took and gave back, whatever anybody else believes."""

import hashlib
from collections import defaultdict
from dataclasses import dataclass, field


@dataclass(slots=True)
class Account:
    """What the gateway did for one order."""

    charges: dict[str, str] = field(default_factory=dict)
    """Amount by idempotency key, of the charges that took money."""
    refunds: dict[str, str] = field(default_factory=dict)


class Bank:
    """As a real one it repeats the first answer of a key for ever."""

    def __init__(self, seed: int, success_rate: float, decline_rate: float) -> None:
        self._seed = seed
        self._success_rate = success_rate
        self._decline_rate = decline_rate
        self._answers: dict[str, str] = {}
        self.accounts: defaultdict[str, Account] = defaultdict(Account)
        self.complaints: list[str] = []

    def carry_out(self, kind: str, key: str, order: str, amount: str, name: str) -> str:
        """The answer, after what it tells of was done. The outcome is drawn for the order's name, not for its id, which
        would be another one if an order before it were left out."""
        if key not in self._answers:
            self._answers[key] = self._act(kind, key, order, amount, name)
        return self._answers[key]

    def errors(self, payment: str) -> int:
        """How many charges of that payment ended in a definite error."""
        return sum(answer == "error" for key, answer in self._answers.items() if key.startswith(f"{payment}:"))

    def fail(self, kind: str, key: str) -> str:
        """An error: of a charge definite, and the key's answer for ever; of a refund a passing one."""
        return self._answers.setdefault(key, "error") if kind == "charge" else "error"

    def _act(self, kind: str, key: str, order: str, amount: str, name: str) -> str:
        account = self.accounts[order]
        if kind == "refund":
            account.refunds[key] = amount
            if len(account.refunds) > len(account.charges):
                self.complaints.append(f"More money was given back for order {order} than was taken.")
            return "done"
        number = key.rpartition(":")[2]
        drawn = int.from_bytes(hashlib.sha256(f"{self._seed}:{name}:{number}".encode()).digest()[:8]) / 2**64
        if drawn < self._success_rate:
            account.charges[key] = amount
            if len(account.charges) > 1:
                self.complaints.append(f"Order {order} was charged {len(account.charges)} times.")
            return "done"
        return "declined" if drawn < self._success_rate + self._decline_rate else "error"
