"""Mistakes that a developer could make, each applied to the real code when a worker starts: the proof that the
simulation can fail. A mutation that it does not catch is either healed by the design, and then says why, or a hole in
the simulation."""

from simulation.mutations import inventory, messaging, order, payment
from simulation.mutations.registry import ALL, Mutation, apply

__all__ = ["ALL", "Mutation", "apply", "inventory", "messaging", "order", "payment"]
