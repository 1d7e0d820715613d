"""Identifiers: UUIDv7 (RFC 9562), which sort by the time of their making and so keep indexes dense."""

from uuid_utils.compat import uuid7

__all__ = ["uuid7"]
