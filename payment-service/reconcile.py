"""Enters the charges that a restored database has forgotten: `python -m reconcile`, as `make reconcile` runs it beside
the service, with a charge a line in JSON on standard input. What there is to tell goes into the outbox, from which the
running service sends it; run twice, it changes nothing the second time."""

import asyncio
import sys

from pydantic import TypeAdapter

from application.reconcile_charges import ReconcileCharge, reconcile_charges
from main import service, units

MAX_CHARGES_A_BATCH = 200

_CHARGE = TypeAdapter(ReconcileCharge)


async def main() -> None:
    charges = [_CHARGE.validate_json(line) for line in sys.stdin]
    for start in range(0, len(charges), MAX_CHARGES_A_BATCH):
        batch = charges[start : start + MAX_CHARGES_A_BATCH]
        async with units() as unit:
            await unit.start()
            entered = await reconcile_charges(batch, unit)
            await unit.commit()
        for charge, is_entered in zip(batch, entered, strict=True):
            outcome = "entered, to be refunded" if is_entered else "left as it is"
            print(f"The charge of payment {charge.payment_id}, order {charge.order_id}: {outcome}.")
    await service.database.stop()


if __name__ == "__main__":
    asyncio.run(main())
