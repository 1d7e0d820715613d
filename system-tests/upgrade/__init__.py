"""Upgrades, tested: a shop that an earlier version left in mid-flight, recorded once and carried on by today's code.

`recording` says what a recording holds, `record` makes one, `replay` loads one into servers of today.
"""
