"""A download that is interrupted while it waits."""

import signal
import subprocess
import sys
import time

from provision.engine import content

from ..unit.plugins.servers import (
    _without_proxies,  # noqa: F401
    mute,
)


def test_an_interrupt_is_not_kept_waiting():
    code = f"""if True:
        import sys, threading, _thread
        sys.path.insert(0, {str(content.root())!r})
        from plugins.module_utils.provision import download as downloads
        print("ready", flush=True)
        with downloads.opened(sys.argv[1]): pass
    """
    with mute() as port:
        waiting = subprocess.Popen(
            [sys.executable, "-c", code, f"http://127.0.0.1:{port}/x"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        waiting.stdout.readline()
        time.sleep(0.5)
        start = time.monotonic()
        waiting.send_signal(signal.SIGINT)
        waiting.communicate(timeout=60)
        assert time.monotonic() - start < 5
