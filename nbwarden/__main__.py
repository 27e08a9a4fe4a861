"""`python -m nbwarden`: grade an nbgrader course in parallel."""

import sys

from nbwarden import workers


def main() -> int:
    """Run the command; its exit status."""
    workers.begin_grading(sys.argv)
    from nbwarden import command  # its imports take a second, and so do those of the workers

    return command.main()


if __name__ == "__main__":
    sys.exit(main())
