"""What the domain refuses. An error that a caller can meet has a stable slug, which the API maps to a status."""


class ItemNotFound(Exception):
    slug = "item-not-found"


class IllegalTransition(Exception):
    def __init__(self, current: str, wanted: str) -> None:
        super().__init__(f"The reservation is {current} and can't become {wanted}.")
