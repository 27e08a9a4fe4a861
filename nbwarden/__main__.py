"""`python -m nbwarden`: grade an nbgrader course in parallel."""

import sys

from nbwarden.command import main

if __name__ == "__main__":
    sys.exit(main())
