"""What the domain refuses. An error that a caller of the API can meet has a stable slug; main.py gives it a status."""


class ItemNotFound(Exception):
    slug = "item-not-found"


class IllegalTransition(Exception):
    def __init__(self, current: str, wanted: str) -> None:
        super().__init__(f"The reservation is {current} and can't become {wanted}.")
