"""The domain's errors. The stable slug of each is part of the API; api/errors.py gives it a status."""


class OrderError(Exception):
    pass


class InvalidOrder(OrderError):
    slug = "invalid-order"


class OrderNotFound(OrderError):
    slug = "order-not-found"


class NotYourself(OrderError):
    slug = "forbidden"


class IllegalTransition(OrderError):
    slug = "illegal-transition"

    def __init__(self, current: str, wanted: str) -> None:
        super().__init__(f"The order is {current} and can't become {wanted}.")


class TooManyOpenOrders(OrderError):
    slug = "too-many-open-orders"


class IdempotencyKeyReused(OrderError):
    slug = "idempotency-key-reused"
