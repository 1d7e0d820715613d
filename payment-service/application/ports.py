"""What the use cases need of the world: the gateway, and a repository in a unit of work. Adapters are in
infrastructure/."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from chassis.unit_of_work import Unit

from domain.attempt import Answer, Attempt
from domain.payment import Payment


class PaymentGateway(Protocol):
    async def ask(self, attempt: Attempt) -> Answer:
        """Charges or refunds under the attempt's idempotency key: the same key again gets the first answer again.

        Never raises for what happens on the way: where no answer came, the answer is UNKNOWN.
        """


@dataclass(frozen=True, slots=True)
class NewPayment:
    order_id: UUID
    customer_id: UUID
    expires_at: datetime
    traceparent: str


class PaymentRepository(Protocol):
    async def locked(self, order_ids: Sequence[UUID], absent: Sequence[NewPayment]) -> dict[UUID, Payment]:
        """The payments of these orders, by order id, locked in the order of those ids until the unit ends.

        Those of `absent` that don't exist are made first, and are `new`: a row that isn't there can't be locked, and
        two replicas would each miss the other's.
        """

    async def locked_due(self, limit: int) -> list[Payment]:
        """Payments whose time to ask the gateway has come, locked; those that another transaction has are left out."""

    async def save(self, payments: Sequence[Payment]) -> None: ...


class PaymentUnit(Unit, Protocol):
    @property
    def payments(self) -> PaymentRepository: ...

    def after_commit(self, act: Callable[[], None]) -> None:
        """Remembers what must happen once the transaction is durable, and never if it isn't."""
