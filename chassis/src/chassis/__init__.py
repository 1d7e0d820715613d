"""The code that the four services share, without business rules: see docs/architecture.md."""
