"""Where the ``probe`` command begins, with so few imports that it always heeds Ctrl-C."""

import sys


def main() -> None:
    """Run the command line; an interrupt before it is there ends as one later does."""
    try:
        from probe.cli import main as run  # noqa: PLC0415 - this import is what may be interrupted

        run()
    except KeyboardInterrupt:
        sys.stderr.write("probe: interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
