"""What the domain refuses. Each error has a stable slug; the API maps it to a status."""


class OrderError(Exception):
    slug = "order-error"


class InvalidOrder(OrderError):
    slug = "invalid-order"


class OrderNotFound(OrderError):
    slug = "order-not-found"


class IllegalTransition(OrderError):
    slug = "illegal-transition"

    def __init__(self, current: str, wanted: str) -> None:
        super().__init__(f"The order is {current} and can't become {wanted}.")


class IdempotencyKeyReused(OrderError):
    slug = "idempotency-key-reused"
