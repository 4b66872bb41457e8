"""Layers as a registry could send them, among them some that no honest tool makes."""

import gzip
import hashlib
import io
import subprocess
import tarfile
import tempfile


def tar(*members: tuple[tarfile.TarInfo, bytes], end: bool = True) -> bytes:
    out = io.BytesIO()
    archive = tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT)
    for info, data in members:
        archive.addfile(info, io.BytesIO(data))
    if end:
        archive.close()
    return out.getvalue()


def file(name: str, data: bytes = b"content\n", mode: int = 0o644) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    info.mode = mode
    return info, data


def directory(name: str) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type = tarfile.DIRTYPE
    info.mode = 0o755
    return info, b""


def link(name: str, target: str, hard: bool) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type = tarfile.LNKTYPE if hard else tarfile.SYMTYPE
    info.linkname = target
    return info, b""


def device(name: str, major: int, minor: int) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type = tarfile.BLKTYPE
    info.devmajor, info.devminor = major, minor
    info.mode = 0o666
    return info, b""


def gnu_sparse(name: str, size: int) -> bytes:
    """An archive by GNU tar of a file of `size` bytes without data in it."""
    with tempfile.TemporaryDirectory() as where:
        subprocess.run(["truncate", "-s", str(size), f"{where}/{name}"], check=True)
        return subprocess.run(
            ["tar", "--sparse", "--format=gnu", "-C", where, "-c", name], check=True, capture_output=True
        ).stdout


def compressed(archive: bytes) -> tuple[bytes, str]:
    """The layer as it is sent, and its diff_id."""
    return gzip.compress(archive, mtime=0), diff_id(archive)


def diff_id(archive: bytes) -> str:
    return "sha256:" + hashlib.sha256(archive).hexdigest()


def bomb(size: int) -> tuple[bytes, str]:
    """A small gzip stream of one file of `size` zeros, made without holding them."""
    info = tarfile.TarInfo("zeros")
    info.size = size
    head = info.tobuf(tarfile.PAX_FORMAT)
    digest, out = hashlib.sha256(), io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=9, mtime=0) as stream:
        for piece in [head, *[bytes(1 << 20)] * (size >> 20), bytes(1024)]:
            digest.update(piece)
            stream.write(piece)
    return out.getvalue(), "sha256:" + digest.hexdigest()
