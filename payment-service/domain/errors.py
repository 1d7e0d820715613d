"""What the domain refuses. Each error has a stable slug; the API maps it to a status."""


class PaymentError(Exception):
    slug = "payment-error"


class PaymentNotFound(PaymentError):
    slug = "payment-not-found"


class IllegalTransition(PaymentError):
    slug = "illegal-transition"

    def __init__(self, current: str, wanted: str) -> None:
        super().__init__(f"The payment is {current} and can't become {wanted}.")
