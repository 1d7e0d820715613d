"""Enters what the database lost in a restore. `make reconcile` runs `python -m reconcile` beside the service, which
publishes the resulting events from the outbox. Each line of standard input is a JSON object:

    {"type": "AdoptOrder", "data": {"order_id": ..., ...}}              an order that only others know
    {"type": "InventoryReleased", "data": {"order_id": ..., ...}}       a fact that was lost on its way here

A second run changes nothing."""

import asyncio
import json
import sys
from typing import Any

from chassis.ports.events import Received
from chassis.ports.ids import uuid7
from chassis.ports.tracing import new_traceparent
from pydantic import TypeAdapter

from application.adopt_orders import adopt_orders
from application.handle_events import handle_events
from application.messages import CONSUMED
from domain.order import LostOrder
from main import service

MAX_LINES_A_BATCH = 200

_ADAPTERS: dict[str, TypeAdapter[Any]] = {
    name: TypeAdapter(data) for name, data in {"AdoptOrder": LostOrder, **CONSUMED}.items()
}


async def main() -> None:
    lines = [json.loads(line) for line in sys.stdin]
    for start in range(0, len(lines), MAX_LINES_A_BATCH):
        found = [
            (line["type"], _ADAPTERS[line["type"]].validate_python(line["data"]))
            for line in lines[start : start + MAX_LINES_A_BATCH]
        ]
        lost = [data for _, data in found if isinstance(data, LostOrder)]
        facts = [
            Received(uuid7(), kind, str(data.order_id), new_traceparent(), data, None)
            for kind, data in found
            if not isinstance(data, LostOrder)
        ]
        async with service.units() as unit:
            await unit.start()
            await adopt_orders(lost, unit)
            await handle_events(facts, unit)
            await unit.commit()
        for kind, data in found:
            print(f"Order {data.order_id}: {'entered as lost' if kind == 'AdoptOrder' else f'{kind} told again'}.")
    await service.database.stop()


if __name__ == "__main__":
    asyncio.run(main())
