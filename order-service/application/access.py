"""Whose orders a caller may see, cancel and place."""

from collections.abc import Mapping
from uuid import UUID

from chassis.ports.identity import Principal

from domain.errors import OrderNotFound
from domain.order import Order

_NO_ORDER = "There is no such order."


def visible(orders: Mapping[UUID, Order], order_id: UUID, caller: Principal) -> Order:
    """The order. Raises OrderNotFound for somebody else's too: a caller may not even know that it exists."""
    order = orders.get(order_id)
    placed = order is not None and "service" in caller.roles and order.timeline[0].by == caller.name
    if order is None or not (placed or caller.may_see(order.customer_id)):
        raise OrderNotFound(_NO_ORDER)
    return order


def cancellable(orders: Mapping[UUID, Order], order_id: UUID, caller: Principal) -> Order:
    """The order, as `visible`. Who may see it may not yet cancel it: an auditor who is also a customer, for one."""
    order = visible(orders, order_id, caller)
    if not (caller.is_any_of("staff") or caller.is_customer(order.customer_id)):
        raise OrderNotFound(_NO_ORDER)
    return order


def may_place_for(customer_id: UUID, caller: Principal) -> bool:
    return caller.is_any_of("staff", "service") or caller.is_customer(customer_id)


def may_name_prices(caller: Principal) -> bool:
    """Whether the caller's price is good for a product that has none."""
    return caller.is_any_of("staff", "service")


def key_owner(customer_id: UUID, caller: Principal) -> str:
    """To whom an idempotency key belongs: a customer's to the customer, whether or not callers are checked."""
    return str(customer_id) if caller.name is None or caller.is_customer(customer_id) else caller.name


def shows_who(caller: Principal) -> bool:
    """Whether the caller may know who placed and who cancelled an order, where callers are checked at all."""
    return caller.name is not None and caller.is_any_of("staff", "auditor")
