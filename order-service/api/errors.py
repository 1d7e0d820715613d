"""The HTTP statuses of the domain's errors."""

from functools import partial

from chassis.http import problems

from domain.errors import (
    IdempotencyKeyReused,
    IllegalTransition,
    InvalidOrder,
    NotYourself,
    OrderNotFound,
    TooManyOpenOrders,
)

STATUSES: dict[type[Exception], int] = {
    NotYourself: 403,
    OrderNotFound: 404,
    IllegalTransition: 409,
    InvalidOrder: 422,
    IdempotencyKeyReused: 422,
    TooManyOpenOrders: 429,
}
documented = partial(problems.documented, own=STATUSES)
