"""The domain's errors. An error that a caller can see has a stable slug, and the API maps it to a status."""


class PaymentNotFound(Exception):
    slug = "payment-not-found"


class IllegalTransition(Exception):
    def __init__(self, current: str, wanted: str) -> None:
        super().__init__(f"The payment is {current} and can't become {wanted}.")
