"""Says again that stock is held for orders that should have been decided: whoever lost the decision gets it anew."""

from chassis.unit_of_work import announce

from application.ports import InventoryUnit

MAX_HOLDS_A_BATCH = 200


async def remind_of_holds(unit: InventoryUnit) -> bool:
    """Reminds of a batch of holds; True if there may be more."""
    holds = await unit.holds.locked_due(MAX_HOLDS_A_BATCH)
    for hold in holds:
        hold.remind(unit.now)
        announce(hold, unit)
    await unit.holds.save(holds)
    return len(holds) == MAX_HOLDS_A_BATCH
