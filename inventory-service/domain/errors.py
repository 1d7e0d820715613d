"""The domain's errors. The stable slug of one is part of the API; api/errors.py gives it a status."""


class StockError(Exception):
    pass


class ItemNotFound(StockError):
    slug = "item-not-found"


class StockOutOfBounds(StockError):
    slug = "stock-out-of-bounds"


class StockRevised(StockError):
    slug = "precondition-failed"


class IdempotencyKeyReused(StockError):
    slug = "idempotency-key-reused"


class IllegalTransition(Exception):
    def __init__(self, current: str, wanted: str) -> None:
        super().__init__(f"The reservation is {current} and can't become {wanted}.")
