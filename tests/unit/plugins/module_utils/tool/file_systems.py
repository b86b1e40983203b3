"""File systems on which folders are not exchanged in one step, or not renamed."""

import ctypes
import errno
import os


def no_exchange(monkeypatch, number):
    """Have the kernel refuse to exchange two folders in one step, with that number of an error."""

    class Libc:
        @staticmethod
        def renameat2(*_):
            ctypes.set_errno(number)
            return -1

    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Libc)


def of_an_image(monkeypatch, ending):
    """Have it rename no folder whose path ends like that, as if that came with a container's image."""
    rename = os.rename

    def refuse(source, target):
        if str(source).endswith(ending):
            raise OSError(errno.EXDEV, "Invalid cross-device link", source)
        rename(source, target)

    monkeypatch.setattr(os, "rename", refuse)
