"""Enters charges that the database lost in a restore. `make reconcile` runs `python -m reconcile` beside the service,
which publishes the resulting events. Each line of standard input is a charge in JSON. A second run changes nothing."""

import asyncio
import sys

from pydantic import TypeAdapter

from application.reconcile_charges import ReconcileCharge, reconcile_charges
from main import service

_CHARGE = TypeAdapter(ReconcileCharge)


async def main() -> None:
    reconcile = service.command("reconcile_charges", reconcile_charges)

    async def enter(charge: ReconcileCharge) -> None:
        outcome = "entered, to be refunded" if await reconcile(charge) else "left as it is"
        print(f"The charge of payment {charge.payment_id}, order {charge.order_id}: {outcome}.")

    charges = [_CHARGE.validate_json(line) for line in sys.stdin]
    failures = await asyncio.gather(*(enter(charge) for charge in charges), return_exceptions=True)
    await service.database.stop()
    for failure in filter(None, failures):
        raise failure


if __name__ == "__main__":
    asyncio.run(main())
