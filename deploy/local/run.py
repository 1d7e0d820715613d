"""The command line behind the Makefile: `python3 deploy/local/run.py COMMAND`, see cli.py for the commands."""

import os
import shutil
import sys

OLDEST_MINOR = 11


def main() -> int:
    """Any Python 3.6 must be able to read this file, and say what it lacks; what it imports asks for more."""
    if sys.version_info < (3, OLDEST_MINOR):
        for minor in range(20, OLDEST_MINOR - 1, -1):
            newer = shutil.which(f"python3.{minor}")
            if newer:
                os.execv(newer, [newer, *sys.argv])
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        sys.stderr.write(
            f"error: Python 3.{OLDEST_MINOR} or newer is needed, and {sys.executable} is {version}: "
            "install one, or name one that you have: make PYTHON=/path/to/python3\n"
        )
        return 1
    import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
