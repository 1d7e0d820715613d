"""What the four services share and no business rule: see docs/architecture.md for how the pieces hang together."""
