"""The domain's errors. The stable slug of one is part of the API; main.py gives it a status."""


class ItemNotFound(Exception):
    slug = "item-not-found"


class IllegalTransition(Exception):
    def __init__(self, current: str, wanted: str) -> None:
        super().__init__(f"The reservation is {current} and can't become {wanted}.")
