"""The `dlnorm` command, which is `python -m dlnorm` too: what takes long begins first."""

from __future__ import annotations

import sys

from nbwarden import workers


def main() -> int:
    """Run the command; its exit status."""
    if "grade" in sys.argv:
        workers.begin_grading(sys.argv)
    from dlnorm import cli  # its imports take a second, and so do those of the workers

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
