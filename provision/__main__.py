"""The command ``provision``; Ctrl-C ends it in one line even while the rest is still being imported."""

import sys


def main() -> int:
    """Run the command line and return its exit code."""
    try:
        from provision.cli.main import main as run

        return run()
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
