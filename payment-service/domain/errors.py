"""The domain's errors. The stable slug of one is part of the API; api/errors.py gives it a status."""


class PaymentNotFound(Exception):
    slug = "payment-not-found"


class IllegalTransition(Exception):
    def __init__(self, current: str, wanted: str) -> None:
        super().__init__(f"The payment is {current} and can't become {wanted}.")
