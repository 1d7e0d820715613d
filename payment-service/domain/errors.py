"""What the domain refuses. An error that a caller can meet has a stable slug, which the API maps to a status."""


class PaymentError(Exception):
    pass


class PaymentNotFound(PaymentError):
    slug = "payment-not-found"


class IllegalTransition(PaymentError):
    def __init__(self, current: str, wanted: str) -> None:
        super().__init__(f"The payment is {current} and can't become {wanted}.")
