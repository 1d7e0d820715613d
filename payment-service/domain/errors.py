"""What the domain refuses. An error that a caller can meet has a stable slug, which the API maps to a status."""


class PaymentNotFound(Exception):
    slug = "payment-not-found"


class IllegalTransition(Exception):
    def __init__(self, current: str, wanted: str) -> None:
        super().__init__(f"The payment is {current} and can't become {wanted}.")
