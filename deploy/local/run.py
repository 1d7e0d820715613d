"""The command line behind the Makefile: `python3 deploy/local/run.py COMMAND`, see cli.py for the commands."""

import sys

OLDEST_MINOR = 11


def main() -> int:
    """Any Python 3 must be able to read this file, and say what it lacks; what it imports asks for more."""
    if sys.version_info < (3, OLDEST_MINOR):
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        sys.stderr.write(
            f"error: Python 3.{OLDEST_MINOR} or newer is needed, and {sys.executable} is {version}: "
            "name a newer one (make PYTHON=/path/to/python3), or leave PYTHON out and make looks for one.\n"
        )
        return 1
    import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
