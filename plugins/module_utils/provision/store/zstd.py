"""Zstandard streams, on any Python of Debian or Ubuntu."""

# Without the package zstandard it unpacks with libzstd.so.1, which every machine has because dpkg needs it.

from __future__ import annotations

import ctypes

try:
    import zstandard
except ImportError:
    zstandard = None

LEVEL = 10
QUICK = 3  # for temporary archives
WINDOW_LOG = 27  # 128 MiB: a build repeats itself over longer distances than level 10 looks back
BLOCK = 1 << 18
_PIECE = 1 << 9  # unpacked at once: four bytes can become 128 KiB, and this at most 16 MiB
_WINDOW_LOG_MAX = 100  # ZSTD_d_windowLogMax, zstd.h


class ZstdError(ValueError):
    """Data that is not a complete Zstandard frame, or a Python that cannot write one."""


def compressor(level=LEVEL):
    """Return an object whose ``compress(data)`` and ``flush()`` write one frame."""
    # On 50 MB of programs, level 10 takes 0.8 s and saves a third over level 3; 19, half a minute and a sixth more.
    if zstandard is None:
        raise NoZstdError("Packing needs the Python package zstandard, which is not installed")
    long = {"window_log": WINDOW_LOG, "enable_ldm": True, "threads": -1} if level == LEVEL else {}
    parameters = zstandard.ZstdCompressionParameters.from_level(level, write_checksum=True, **long)
    return zstandard.ZstdCompressor(compression_params=parameters).compressobj()


class NoZstdError(ZstdError):
    """A Python that can neither pack nor unpack; the data may be good."""


class CutOffError(ZstdError):
    """A truncated frame."""

    code = "cut-off"


class _SystemDecompressor:
    """A substitute for zstandard's decompression object that uses the system's libzstd."""

    class _Buffer(ctypes.Structure):
        _fields_ = (("data", ctypes.c_void_p), ("size", ctypes.c_size_t), ("position", ctypes.c_size_t))

    def __init__(self):
        try:
            self._zstd = ctypes.CDLL("libzstd.so.1")
        except OSError as error:
            raise NoZstdError(
                "Unpacking needs the Python package zstandard or libzstd.so.1; neither is there"
            ) from error
        self._zstd.ZSTD_createDCtx.restype = ctypes.c_void_p
        for name in ("ZSTD_decompressStream", "ZSTD_DCtx_setParameter", "ZSTD_freeDCtx"):
            getattr(self._zstd, name).restype = ctypes.c_size_t
        self._zstd.ZSTD_getErrorName.restype = ctypes.c_char_p
        self._context = ctypes.c_void_p(self._zstd.ZSTD_createDCtx())
        self._check(self._zstd.ZSTD_DCtx_setParameter(self._context, _WINDOW_LOG_MAX, WINDOW_LOG))
        self._room = ctypes.create_string_buffer(BLOCK * 4)
        self.eof, self.unused_data = False, b""

    def __del__(self):
        if getattr(self, "_context", None):
            self._zstd.ZSTD_freeDCtx(self._context)

    def _check(self, code):
        if self._zstd.ZSTD_isError(ctypes.c_size_t(code)):
            raise ZstdError(self._zstd.ZSTD_getErrorName(ctypes.c_size_t(code)).decode())
        return code

    def decompress(self, data):
        given = self._Buffer(ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p), len(data), 0)
        parts = []
        while not self.eof:
            made = self._Buffer(ctypes.cast(self._room, ctypes.c_void_p), len(self._room), 0)
            left = self._check(self._zstd.ZSTD_decompressStream(self._context, ctypes.byref(made), ctypes.byref(given)))
            parts.append(ctypes.string_at(self._room, made.position))
            self.eof = left == 0
            # A full output buffer may mean that there is more output, even when all input has been read.
            if given.position == given.size and made.position < made.size:
                break
        self.unused_data = data[given.position :]
        return b"".join(parts)


def _decompressor():
    if zstandard is None:
        return _SystemDecompressor()
    return zstandard.ZstdDecompressor(max_window_size=1 << WINDOW_LOG).decompressobj()


class Reader:
    """The content of a file, block by block; ZstdError unless it is exactly one complete Zstandard frame."""

    def __init__(self, file):
        self.file, self._frame = file, _decompressor()
        self._packed, self._rest = memoryview(b""), memoryview(b"")

    def _unpack(self):
        """Return the next block, empty at the end of the frame."""
        while not self._frame.eof:
            self._packed = self._packed or memoryview(self.file.read(BLOCK))
            if not self._packed:
                raise CutOffError("it ends too early")
            piece, self._packed = bytes(self._packed[:_PIECE]), self._packed[_PIECE:]
            try:
                block = self._frame.decompress(piece)
            except Exception as error:
                if zstandard is None or not isinstance(error, zstandard.ZstdError):
                    raise
                raise ZstdError(str(error)) from error
            if block:
                return block
        if self._frame.unused_data or self._packed or self.file.read(1):
            raise ZstdError("there is data after its end")
        return b""

    def read(self, size):
        """Return `size` bytes, fewer at the end."""
        parts = []
        while size:
            self._rest = self._rest or memoryview(self._unpack())
            if not self._rest:
                break
            parts.append(self._rest[:size])
            size -= len(parts[-1])
            self._rest = self._rest[len(parts[-1]) :]
        return b"".join(parts)

    def finish(self):
        """Read to the end, so that the checksum is checked."""
        while self.read(BLOCK):
            pass
