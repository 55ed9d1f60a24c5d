"""The command line: ``weight-diff …`` and ``python -m weight_diff …``."""

import os
import subprocess
import sys

from ._process import command_line


def main() -> int:
    line = command_line(sys.argv[1:])
    if os.name == "posix":
        # The program takes this process's place: its signals, streams and exit code are its own.
        os.execv(line[0], line)
    with subprocess.Popen(line) as child:
        while True:
            try:
                return child.wait()
            except KeyboardInterrupt:
                # The console has told the child, too: it says how to go on, and ends.
                continue


if __name__ == "__main__":
    sys.exit(main())
