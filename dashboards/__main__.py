"""`python -m dashboards DIR`: writes every board and its provisioning into a folder."""

import argparse
import sys
from pathlib import Path

from dashboards.export import write


def main() -> int:
    """Exit code: 0, or 2 where the folder cannot be written."""
    parser = argparse.ArgumentParser(prog="python -m dashboards", description=__doc__)
    parser.add_argument("folder", metavar="DIR", type=Path)
    folder: Path = parser.parse_args().folder
    try:
        write(folder)
    except OSError as error:
        sys.stderr.write(f"{folder}: {error.strerror}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
