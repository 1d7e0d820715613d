"""How much is looked at."""

from uuid import UUID

from application.sample import EVENTS_PER_SECOND, Sample
from application.watching import Watching
from tests.seen import document

IDS = [str(UUID(int=number * 7919)) for number in range(4000)]


def test_everything_is_looked_at_while_the_page_keeps_up() -> None:
    sample = Sample()
    sample.count(EVENTS_PER_SECOND)
    assert not sample.turn(1.0)
    assert sample.share == 1.0
    assert all(sample.has(order_id) for order_id in IDS)


def test_of_more_events_a_part_is_looked_at_that_the_page_can_keep_up_with() -> None:
    sample = Sample()
    sample.count(14_000)
    assert sample.turn(1.0)
    assert 14_000 * sample.share <= EVENTS_PER_SECOND < 28_000 * sample.share
    chosen = sum(sample.has(order_id) for order_id in IDS)
    assert 0.5 < chosen / (len(IDS) * sample.share) < 1.5


def test_a_smaller_part_is_in_the_larger_one() -> None:
    larger, smaller = Sample(), Sample()
    larger.share, smaller.share = 1 / 4, 1 / 16
    assert {i for i in IDS if smaller.has(i)} < {i for i in IDS if larger.has(i)}


def test_the_part_grows_back_step_by_step_and_says_only_when_it_shrinks() -> None:
    sample = Sample()
    sample.count(4 * EVENTS_PER_SECOND)
    assert sample.turn(1.0)
    shares = []
    for _ in range(4):
        assert not sample.turn(1.0)
        shares.append(sample.share)
    assert shares == [0.5, 1.0, 1.0, 1.0]


def test_all_events_of_an_order_are_seen_or_none() -> None:
    watching = Watching()
    watching.sample.share = 1 / 4
    for order_id in IDS[:400]:
        watching.take([document("OrderCreated", order_id), document("InventoryReserved", order_id, second=1)])
    assert 40 < len(watching.orders) < 160
    assert all(len(order.events) == 2 for order in watching.orders)


def test_what_has_no_order_disturbs_nothing() -> None:
    watching = Watching()
    watching.sample.share = 1 / 2
    watching.take([None, 7, {"subject": 7}, {"subject": "\ud800"}, document("OrderCreated") | {"subject": "\ud800"}])
    watching.sample.share = 1.0
    watching.take([None, 7, {"subject": 7}])
    assert len(watching.orders) <= 1
