"""The picture, and that nothing is asked while nobody looks."""

from typing import Any

from chassis.ports.errors import Unavailable

from application.figures import Reading, Replica, Waiting
from application.looking import Looking
from application.watching import STOCK_NOTES_KEPT, Watching
from tests.seen import ORDER, document

NOON = 1_795_521_600.0  # of the events in seen.py


class FakeFeed:
    def __init__(self) -> None:
        self.state = "resting"
        self.waiting = {"order-service": Waiting(3, 2, 1)}
        self.looked = 0

    def look(self) -> None:
        self.looked += 1


class FakeServices:
    asked = 0

    async def replicas(self) -> dict[str, list[Replica]]:
        self.asked += 1
        return {"order-service": [Replica("a", "ok"), Replica("b", "failing", ["broker: not connected"])]}

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} is not asked for")


class FakeOperators:
    def __init__(self) -> None:
        self.away = False
        self.asked = 0

    async def counts(self) -> dict[str, int]:
        self.asked += 1
        if self.away:
            raise Unavailable("the database is away")
        return {"completed": 7}

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} is not asked for")


def looking() -> tuple[Looking, FakeFeed, FakeServices, FakeOperators]:
    parts = FakeFeed(), FakeServices(), FakeOperators()
    return Looking(Watching(), *parts), *parts


async def test_nothing_is_asked_while_no_page_is_open() -> None:
    look, feed, services, operators = looking()
    await look.turn()
    with look.page():
        pass
    await look.turn()
    assert (services.asked, operators.asked, feed.looked) == (0, 0, 1)


async def test_an_open_page_sees_health_queues_and_counts() -> None:
    look, feed, _, _ = looking()
    with look.page():
        await look.turn()
        feed.state = "following"
        picture = look.picture()
    assert (picture["feed"], picture["in_all"]) == ("following", {"completed": 7})
    [lane] = [lane for lane in picture["lanes"] if lane["name"] == "order-service"]
    assert [(replica["state"], replica["problems"]) for replica in lane["replicas"]] == [
        ("ok", ()),
        ("failing", ["broker: not connected"]),
    ]
    assert lane["queues"] == {"queue": 3, "retries": 2, "dead_letters": 1}
    assert picture["now"]["backlog"] == 5


async def test_a_database_that_is_away_leaves_the_counts_unknown() -> None:
    look, _, _, operators = looking()
    operators.away = True
    with look.page():
        await look.turn()
    assert look.picture()["in_all"] is None


async def test_counting_takes_a_small_part_of_the_time() -> None:
    look, _, _, operators = looking()
    with look.page():
        await look.turn()
        await look.turn()
    assert operators.asked == 1


def test_a_waiting_order_and_its_age_are_in_its_lane() -> None:
    watching = Watching()
    watching.take([document("OrderCreated", total_amount=5.5), document("InventoryReserved", second=1)])
    picture = watching.picture(NOON + 8)
    [payment] = [lane for lane in picture["lanes"] if lane["name"] == "payment-service"]
    assert payment["waiting"] == 1
    assert payment["oldest"] == {"id": ORDER, "seconds": 7.0}
    [order] = picture["orders"]
    assert (order["id"], order["amount"], order["seconds"]) == (ORDER, 5.5, 8.0)
    assert [step["name"] for step in order["steps"]] == ["OrderCreated", "InventoryReserved"]


def test_when_less_is_followed_the_orders_that_are_dropped_do_not_seem_to_wait() -> None:
    watching = Watching()
    watching.turn(Reading(100.0, {}, {}))
    for number in range(400):
        watching.take([document("OrderCreated", f"order {number}")])
    watching.sample.count(100_000)
    watching.turn(Reading(101.0, {}, {}))
    assert watching.sample.share < 0.01
    assert sum(lane["waiting"] for lane in watching.picture(102.0)["lanes"]) < 40


def test_what_is_noted_of_the_stock_is_bounded() -> None:
    watching = Watching()
    for number in range(STOCK_NOTES_KEPT + 5):
        watching.note_stock(str(number), {})
    assert next(iter(watching.stock_before)) == "5"
