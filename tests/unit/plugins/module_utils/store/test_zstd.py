"""Zstandard with the package, and with the system's library where there is none."""

import io
import random
import tracemalloc

import pytest
import zstandard

from plugins.module_utils.provision.store import zstd

from .packed import frame_of, use


@pytest.mark.parametrize("unpacker", ["package", "system"])
def test_a_bomb_does_not_fill_the_memory(unpacker, monkeypatch):
    use(unpacker, monkeypatch)
    packing = zstandard.ZstdCompressor(level=1).compressobj()
    bomb = b"".join(packing.compress(bytes(2**20)) for _ in range(256)) + packing.flush()
    assert len(bomb) < zstd.BLOCK
    tracemalloc.start()
    zstd.Reader(io.BytesIO(bomb)).read(512)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * 2**20


@pytest.fixture(params=["package", "system"])
def reader(request, monkeypatch):
    use(request.param, monkeypatch)
    return lambda content: zstd.Reader(io.BytesIO(content))


@pytest.mark.parametrize(("noise", "zeros"), [(0, 0), (1, 0), (zstd.BLOCK, 0), (700_000, 700_000), (100, 9_000_000)])
@pytest.mark.parametrize("level", [zstd.LEVEL, zstd.QUICK])
def test_what_was_compressed_is_read_back_in_any_pieces(reader, noise, zeros, level):
    content = random.Random(noise).randbytes(noise) + bytes(zeros)
    packing = zstandard.ZstdCompressor(level=level, write_checksum=True)
    for piece in (1000, 2 * zstd.BLOCK, 10**9):
        stream = reader(packing.compress(content))
        pieces = iter(lambda stream=stream, piece=piece: stream.read(piece), b"")
        found = list(pieces)
        assert b"".join(found) == content
        assert all(len(one) == piece for one in found[:-1])
        assert stream.read(1) == b""


@pytest.mark.parametrize("level", [zstd.LEVEL, zstd.QUICK])
def test_what_is_written_can_be_read_by_any_reader_and_has_a_checksum(level, monkeypatch):
    content = random.Random(5).randbytes(3000) * 2000
    packing = zstd.compressor(level)
    frame = packing.compress(content[:999]) + packing.compress(content[999:]) + packing.flush()
    assert zstandard.get_frame_parameters(frame).has_checksum
    for unpacker in ("package", "system"):
        use(unpacker, monkeypatch)
        assert zstd.Reader(io.BytesIO(frame)).read(10**9) == content


@pytest.mark.parametrize(
    ("damage", "kind", "words"),
    [
        (lambda frame: frame[:-1], zstd.CutOffError, None),
        (lambda frame: frame[: len(frame) // 2], zstd.CutOffError, None),
        (lambda frame: b"", zstd.CutOffError, None),
        (lambda frame: frame + b"x", zstd.ZstdError, None),
        (lambda frame: frame + frame, zstd.ZstdError, None),
        (lambda frame: b"PK" + frame, zstd.ZstdError, None),
        (lambda frame: frame[:-1] + bytes([frame[-1] ^ 1]), zstd.ZstdError, "checksum"),  # libzstd's own word
        (lambda frame: frame[:5000] + bytes([frame[5000] ^ 1]) + frame[5001:], zstd.ZstdError, None),
    ],
    ids=["a byte less", "half", "nothing", "a byte more", "twice", "another kind", "checksum", "content"],
)
def test_a_frame_that_is_not_whole_is_told(reader, damage, kind, words):
    frame = frame_of(random.Random(4).randbytes(20_000))
    with pytest.raises(zstd.ZstdError, match=words) as caught:
        reader(damage(frame)).finish()
    assert type(caught.value) is kind


def test_a_frame_that_looks_back_too_far_is_refused(reader):
    parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=zstd.WINDOW_LOG + 1)
    packing = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    with pytest.raises(zstd.ZstdError):
        reader(packing.compress(bytes(9)) + packing.flush()).finish()
