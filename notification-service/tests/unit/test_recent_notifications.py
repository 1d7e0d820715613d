"""The list of what was sent lately: bounded, newest first, a page at a time."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

from chassis.ports.ids import uuid7

from domain.notification import Notification
from infrastructure.recent_notifications import RecentNotifications


def filled(number: int, *customers: UUID) -> tuple[RecentNotifications, list[Notification]]:
    recent = RecentNotifications()
    added = [
        Notification(
            uuid7(), customers[n % len(customers)], f"No. {n}", "as a message", "fake", "sent", datetime.now(UTC)
        )
        for n in range(number)
    ]
    for notification in added:
        recent.add(notification)
    return recent, added


def test_the_last_thousand_are_kept() -> None:
    recent, added = filled(1_001, uuid4())

    listed = recent.listed(customer_id=None, before=None, limit=2_000)

    assert listed == added[:0:-1]
    assert len(listed) == 1_000


def test_a_customer_sees_their_own() -> None:
    one, other = uuid4(), uuid4()
    recent, added = filled(10, one, other)

    assert recent.listed(customer_id=one, before=None, limit=3) == [added[8], added[6], added[4]]
    assert recent.listed(customer_id=uuid4(), before=None, limit=3) == []


def test_pages_are_whole_though_many_were_sent_in_the_same_moment() -> None:
    recent, added = filled(1_000, uuid4())

    listed: list[Notification] = []
    while page := recent.listed(customer_id=None, before=listed[-1].id if listed else None, limit=7):
        listed += page

    assert listed == added[::-1]
