"""A stand-in for the ngrok service, on the loopback, for tests alone.

Unmodified clients of ngrok connect to it as they would to the real service: they check its certificate, authenticate
with a token, ask for TCP endpoints, and get the connections that arrive there. It listens on 127.0.0.1 and nowhere
else. It knows TCP endpoints only, has no accounts and no limits, and refuses, drops and stops when it is told to.

    with Service(folder, token=TOKEN) as service:
        ...                       # start an agent with service.address and service.ca
        service.drop_sessions()

`Service` runs in a thread of the tests. `python -m ngrok_service FOLDER serve`, started in the folder tests/, runs it
as a process of its own, for a machine that the tests are not on. Either way `Remote(folder)`, or `python -m
ngrok_service FOLDER COMMAND`, tells it what to do from another process.

Only the folder of the service tells who may command it; of tokens it keeps a digest. What it refuses, it refuses in the
words of the real service, which repeat the token.

`service.py`       what a test uses: `Service`, `Remote`, and the commands that both have
`edge.py`          what the service answers to an agent
`muxado.py`        many streams over one connection, as agents speak it
`certificates.py`  an authority and a certificate, made anew each time
`agents.py`        the agents to test with: the real one of version 2, and a double of version 3
`agent_double.py`  that double: the command line, configuration and local API of version 3 on ngrok's own SDK

All but the last two need nothing but `cryptography`, which Ansible brings.
"""

from __future__ import annotations

from ngrok_service.service import Remote, Service

__all__ = ["Remote", "Service"]
