"""The HTTP statuses of the domain's errors."""

from functools import partial

from chassis.http import problems

from domain.errors import IdempotencyKeyReused, ItemNotFound, StockOutOfBounds, StockRevised

STATUSES: dict[type[Exception], int] = {
    ItemNotFound: 404,
    StockOutOfBounds: 409,
    StockRevised: 412,
    IdempotencyKeyReused: 422,
}
documented = partial(problems.documented, own=STATUSES)
