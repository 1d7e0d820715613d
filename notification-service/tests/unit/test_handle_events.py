"""Each event is told once, whatever the channel does meanwhile."""

import random
from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest
from chassis.ports.events import Received
from chassis.ports.ids import RecentIds, uuid7
from chassis.testing import received

from application.handle_events import HandleEvents
from application.messages import Event
from application.send_notifications import SendNotifications
from infrastructure.recent_notifications import RecentNotifications
from infrastructure.unit_of_work import MemoryUnitOfWork
from tests.channel import FakeChannel, Sent


class OrderConfirmed(Event): ...


class OrderCompleted(Event): ...


class Desk:
    """The use case with all that it needs, fed as the consumer feeds it."""

    def __init__(self, channel: FakeChannel, *, remembers: int = 10_000) -> None:
        self.channel = channel
        self.recent = RecentNotifications()
        self._told = RecentIds(remembers)
        self._handle_events = HandleEvents(SendNotifications(channel, self.recent))

    async def take(self, events: Sequence[Received]) -> int:
        """A batch in one unit; returns how many of the events were new."""
        async with MemoryUnitOfWork(self._told) as unit:
            fresh = await unit.take_in("notification-service", events)
            if fresh:
                await self._handle_events(fresh, unit)
            await unit.commit()
        return len(fresh)

    async def take_one_by_one(self, events: Sequence[Received]) -> list[Received]:
        """As the consumer does with a batch that failed; returns the events that failed again."""
        failed = []
        for event in events:
            try:
                await self.take([event])
            except ConnectionError:
                failed.append(event)
        return failed

    @property
    def told(self) -> list[UUID]:
        return [customer for customer, _, _ in self.channel.sent]


def confirmed(event_id: UUID | None = None) -> Received:
    return received(OrderConfirmed(uuid7(), uuid4()), event_id=event_id)


def customers(events: Sequence[Received]) -> list[UUID]:
    return [event.data.customer_id for event in events]


@pytest.fixture
def desk() -> Desk:
    return Desk(FakeChannel())


async def test_every_event_of_a_batch_is_told_to_its_customer_in_order(desk: Desk) -> None:
    events = [confirmed() for _ in range(5)]

    assert await desk.take(events) == 5

    assert desk.told == customers(events)
    listed = desk.recent.listed(customer_id=None, before=None, limit=10)
    assert [notification.customer_id for notification in reversed(listed)] == desk.told
    assert {(notification.channel, notification.status) for notification in listed} == {("fake", "sent")}


async def test_an_event_that_comes_again_is_not_told_again(desk: Desk) -> None:
    event, other = confirmed(), confirmed()

    assert await desk.take([event, other, event]) == 2
    assert await desk.take([event]) == 0
    assert await desk.take([confirmed(other.id)]) == 0

    assert desk.told == customers([event, other])


async def test_what_is_said_again_is_told_to_no_customer(desk: Desk) -> None:
    event = confirmed()
    again = received(event.data, repeat=True)

    await desk.take([again, event, again])

    assert desk.told == customers([event])


async def test_two_events_of_one_order_are_both_told(desk: Desk) -> None:
    first = confirmed()
    second = received(OrderCompleted(first.data.order_id, first.data.customer_id))

    await desk.take([first, second])

    assert desk.channel.subjects == ["Order confirmed", "Order completed"]


async def test_a_channel_that_fails_in_the_middle_loses_nothing_and_repeats_nothing() -> None:
    events = [confirmed() for _ in range(5)]
    troubled = events[2].data.customer_id
    desk = Desk(FakeChannel(lambda sent: ConnectionError("no line") if sent[0] == troubled else None))

    with pytest.raises(ConnectionError):
        await desk.take(events)
    assert desk.told == customers(events[:2])

    failed = await desk.take_one_by_one(events)
    assert failed == [events[2]]
    assert desk.told == customers([*events[:2], *events[3:]])

    desk.channel.trouble = lambda sent: None
    assert await desk.take_one_by_one(events) == []
    assert sorted(desk.told) == sorted(customers(events))
    assert len(desk.recent.listed(customer_id=None, before=None, limit=10)) == len(events)


async def test_however_often_the_channel_fails_each_event_is_told_once() -> None:
    seed = random.randrange(2**32)
    print(f"SEED={seed}")
    chance = random.Random(seed)

    def fails(_: Sent) -> Exception | None:
        return ConnectionError("no line") if chance.random() < 0.4 else None

    desk = Desk(FakeChannel(fails))
    events = [confirmed() for _ in range(60)]
    waiting = events
    while waiting:
        batch = chance.sample(waiting, k=min(len(waiting), chance.randint(1, 20)))
        try:
            await desk.take(batch + batch[:1])
            failed: list[Received] = []
        except ConnectionError:
            failed = await desk.take_one_by_one(batch)
        waiting = [event for event in waiting if event not in batch or event in failed]

    assert sorted(desk.told) == sorted(customers(events))


@pytest.mark.parametrize(("later", "times"), [(9_999, 1), (10_000, 2)])
async def test_the_last_10_000_events_are_remembered(later: int, times: int) -> None:
    """Beyond them a customer may hear twice, as the documentation says."""
    desk = Desk(FakeChannel())
    first = confirmed()
    await desk.take([first])
    others = [confirmed() for _ in range(later)]
    for start in range(0, later, 200):
        await desk.take(others[start : start + 200])

    await desk.take([first])

    assert desk.told.count(first.data.customer_id) == times
