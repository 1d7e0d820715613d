"""Prints an access token of the development issuer: `token customer --sub UUID`, `token staff`.

Services believe it in production only where ALLOW_DEVELOPMENT_ISSUER=true says so; in development they ask for none.
"""

import argparse
import os

import httpx

from operations.issuer import keys_here, token


def headers(seconds: int = 3600) -> dict[str, str]:
    """Of who asks the services as staff where they want a token."""
    production = os.environ.get("ENVIRONMENT") == "production"
    return {"Authorization": f"Bearer {token('staff', sub='operations', seconds=seconds)}"} if production else {}


def client() -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=30, headers=headers())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("roles", nargs="+", metavar="ROLE", help="customer, staff, auditor or service")
    parser.add_argument("--sub", default="somebody", help="whose: of a customer its customer_id")
    parser.add_argument("--seconds", type=int, default=3600, help="for how long it is good (default: 3600)")
    parser.add_argument("--new-key", action="store_true", help="sign with a new key; those of before stay good")


def run(options: argparse.Namespace) -> int:
    if options.new_key:
        keys_here().add()
    print(token(*options.roles, sub=options.sub, seconds=options.seconds))
    return 0
