"""What the use cases need of the world: the gateway, and a repository in a unit of work. Adapters are in
infrastructure/."""

from collections.abc import Callable, Sequence
from typing import Protocol
from uuid import UUID

from chassis.ports.unit_of_work import Unit

from domain.attempt import Answer, Attempt
from domain.payment import Payment


class PaymentGateway(Protocol):
    async def ask(self, attempt: Attempt) -> Answer:
        """Charges or refunds under the attempt's idempotency key: the same key again gets the first answer again.

        Never raises for what happens on the way: where no answer came, the answer is UNKNOWN.
        """


class PaymentRepository(Protocol):
    async def locked(self, order_ids: Sequence[UUID]) -> dict[UUID, Payment]:
        """Those of the orders' payments that exist, by order id, locked in the order of those ids until the unit
        ends."""

    async def add(self, payments: Sequence[Payment]) -> None:
        """Adds payments that `locked` did not find, before anything is saved: whoever has saved waits for nobody any
        more. Raises Conflict if another unit has added one since: the unit is then run again, and finds it."""

    async def locked_due(self, limit: int) -> list[Payment]:
        """Payments whose time to ask the gateway has come, locked; those that another transaction has are left out."""

    async def save(self, payments: Sequence[Payment]) -> None: ...


class PaymentUnit(Unit, Protocol):
    @property
    def payments(self) -> PaymentRepository: ...

    def after_commit(self, act: Callable[[], None]) -> None:
        """Remembers what must happen once the transaction is durable, and never if it isn't."""
