"""The command line: `python -m operations COMMAND`. Each command is a module; the first line of its docstring is its
help."""

import argparse
import sys
from collections.abc import Sequence

from operations import (
    backup,
    books,
    dead_letters,
    demo,
    events,
    issuer,
    load,
    metrics,
    reconcile,
    restore,
    tokens,
)
from operations.addresses import Refused

_COMMANDS = {
    "books": books,
    "metrics": metrics,
    "dead-letters": dead_letters,
    "events": events,
    "backup": backup,
    "restore": restore,
    "reconcile": reconcile,
    "demo": demo,
    "load": load,
    "issuer": issuer,
    "token": tokens,
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="operations",
        description="What an operator runs on the order processing system.",
        epilog="DATABASE_URL, RABBITMQ_URL and ORDER_SERVICE_URL (and its like) say where the system is; `make` and"
        " compose set them.",
    )
    commands = parser.add_subparsers(metavar="COMMAND [--help]", required=True)
    for name, module in _COMMANDS.items():
        text = module.__doc__ or ""
        command = commands.add_parser(
            name,
            help=text.partition("\n\n")[0],
            description=text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except Refused as refusal:
        print(refusal, file=sys.stderr)
        return refusal.status


if __name__ == "__main__":
    sys.exit(main())
