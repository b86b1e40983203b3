"""The service as a process of its own, and commands for it."""

from __future__ import annotations

import argparse
import json
import signal
from pathlib import Path

from ngrok_service.service import COMMANDS, Remote, Service


def main() -> None:
    """Serve until a signal comes, or have a service that runs do one thing, and print what it says as JSON."""
    options = _parser().parse_args()
    if options.command == "serve":
        serve(options.folder, options.token_sha256, options.port)
    else:
        arguments = [options.code, options.text] if options.command.startswith("refuse_") else []
        print(json.dumps(getattr(Remote(options.folder), options.command)(*arguments)))


def serve(folder: Path, digest: str, port: int) -> None:
    """Print the address and the file of the authority as a line of JSON once ready; end with SIGTERM or SIGINT."""
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    folder.mkdir(parents=True, exist_ok=True)
    with Service(folder, digest=digest, port=port) as service:
        print(json.dumps({"address": service.address, "ca": str(service.ca)}), flush=True)
        signal.sigwait(ends)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ngrok_service", description=main.__doc__)
    parser.add_argument("folder", type=Path, help="where the certificates and the socket for commands are")
    commands = parser.add_subparsers(dest="command", required=True)
    serving = commands.add_parser("serve")
    serving.add_argument("--token-sha256", required=True, help="of the token that gets in: a command line is public")
    serving.add_argument("--port", type=int, default=0)
    for name in COMMANDS:
        command = commands.add_parser(name)
        if name.startswith("refuse_"):
            command.add_argument("code", help="such as ERR_NGROK_107")
            command.add_argument("text")
    return parser


if __name__ == "__main__":
    main()
