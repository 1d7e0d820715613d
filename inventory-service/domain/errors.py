"""What the domain refuses. Each error has a stable slug; the API maps it to a status."""


class InventoryError(Exception):
    slug = "inventory-error"


class ItemNotFound(InventoryError):
    slug = "item-not-found"


class IllegalTransition(InventoryError):
    slug = "illegal-transition"

    def __init__(self, current: str, wanted: str) -> None:
        super().__init__(f"The hold is {current} and can't become {wanted}.")
