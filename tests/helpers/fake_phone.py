"""A phone for the stock ``adb``: a daemon that speaks its protocol over TCP, with a folder for the phone's files.

Commands run in this machine's shell, in which the phone's paths are replaced by those of the folder, and in which
``tools`` stand for Android's commands. An ARM64 program that was pushed runs under QEMU.
"""

import contextlib
import os
import queue
import re
import shutil
import signal
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

_MAX_DATA = 256 * 1024
_VERSION = 0x01000001
#: Where the phone's own programs would be.
_MAPPED = ("/data/local/tmp", "/sdcard")
_ARM64 = 183
_STDOUT, _STDERR, _EXIT = 1, 2, 3


class FakePhone:
    """A phone that listens on ``port`` of this machine until ``close``.

    Attributes:
        root: Folder with the phone's files.
        state: ``"device"``; ``"unauthorized"`` never accepts a key; ``"offline"`` ends every conversation at its start.
        free_bytes: What still fits on the phone.
        commands: What its shell was given, in this order.
        shell_v2: Whether it has the shell protocol of Android 7.
    """

    def __init__(self, root: Path, tools: Mapping[str, str], *, state: str = "device", shell_v2: bool = True) -> None:
        self.root = root
        self.state = state
        self.shell_v2 = shell_v2
        self.free_bytes = 2**40
        self.commands: list[str] = []
        self.on_command: Callable[[str], None] = lambda command: None
        for folder in (*_MAPPED, "/sdcard/Android/data"):
            (root / folder[1:]).mkdir(parents=True)
        self._brought = self._listing()
        self.bin = root / "system/bin"
        self.bin.mkdir(parents=True)
        for name, script in tools.items():
            self.add_tool(name, script)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._connections: list[_Connection] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def serial(self) -> str:
        """What adb calls it."""
        return f"127.0.0.1:{self.port}"

    def add_tool(self, name: str, script: str) -> None:
        """Gives the phone's shell a command."""
        path = self.bin / name
        path.write_text(script)
        path.chmod(0o755)

    def path(self, path: str) -> Path:
        """Where a path of the phone's is on this machine."""
        return Path(self.mapped(path))

    def mapped(self, text: str) -> str:
        """A text with the phone's paths replaced."""
        for folder in _MAPPED:
            text = re.sub(rf"(?<![\w/.-]){folder}(?![\w.-])", f"{self.root}{folder}", text)
        return text

    def files(self) -> list[str]:
        """What lies on the phone beside what Android brings: paths of files and folders."""
        return sorted(self._listing() - self._brought)

    def _listing(self) -> set[str]:
        return {
            "/" + path.relative_to(self.root).as_posix()
            for folder in _MAPPED
            for path in (self.root / folder[1:]).rglob("*")
        }

    def unplug(self) -> None:
        """Ends the conversation, and listens no more."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            connection.close()

    def close(self) -> None:
        """Ends the phone and what runs on it."""
        self.unplug()
        for process in self._processes:
            if process.poll() is None:
                with contextlib.suppress(OSError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def start(self, command: str) -> subprocess.Popen[bytes]:
        """Starts a command in the phone's shell."""
        self.commands.append(command)
        self.on_command(command)
        process = subprocess.Popen(
            ["sh", "-c", self.mapped(command)],
            cwd=self.root,
            env={"PATH": f"{self.bin}:{os.environ['PATH']}", "PHONE": str(self.root)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if self.shell_v2 else subprocess.STDOUT,
            start_new_session=True,
        )
        self._processes.append(process)
        return process

    def receive(self, path: str, mode: int, data: bytes) -> None:
        """Stores a pushed file.

        Raises:
            OSError: If it does not fit, or there is no such folder.
        """
        if len(data) > self.free_bytes:
            raise OSError(28, "No space left on device")
        self.free_bytes -= len(data)
        target = self.path(path)
        if data[:4] == b"\x7fELF" and struct.unpack_from("<H", data, 18)[0] == _ARM64:
            emulator = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")
            target.with_suffix(".elf").write_bytes(data)
            target.with_suffix(".elf").chmod(0o755)
            target.write_text(f'#!/bin/sh\nexec {emulator} {target.with_suffix(".elf")} "$@"\n')
        else:
            target.write_bytes(data)
        target.chmod(mode & 0o777)

    def _accept(self) -> None:
        while True:
            try:
                connected, _ = self._listener.accept()
            except OSError:
                return
            connection = _Connection(self, connected)
            self._connections.append(connection)
            threading.Thread(target=connection.serve, daemon=True).start()


class _Connection:
    """The conversation with adb's server: packets, and the streams in them."""

    def __init__(self, phone: FakePhone, connected: socket.socket) -> None:
        self.phone = phone
        self._socket = connected
        self._sending = threading.Lock()
        self._streams: dict[int, _Stream] = {}
        self._last = 0

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def send(self, command: bytes, first: int, second: int, data: bytes = b"") -> None:
        number = int.from_bytes(command, "little")
        header = struct.pack("<6I", number, first, second, len(data), sum(data) & 0xFFFFFFFF, number ^ 0xFFFFFFFF)
        with self._sending, contextlib.suppress(OSError):
            self._socket.sendall(header + data)

    def serve(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            while True:
                number, first, second, length, _, _ = struct.unpack("<6I", self._receive(24))
                self._handle(number.to_bytes(4, "little"), first, second, self._receive(length))
        for stream in list(self._streams.values()):
            stream.end()
        self.close()

    def _receive(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            part = self._socket.recv(length - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def _handle(self, command: bytes, first: int, second: int, data: bytes) -> None:
        if command in (b"CNXN", b"AUTH"):
            if self.phone.state == "unauthorized":
                self.send(b"AUTH", 1, 0, bytes(20))
            elif self.phone.state == "device":
                features = "shell_v2,cmd,stat_v2" if self.phone.shell_v2 else ""
                banner = (
                    f"device::ro.product.name=fake;ro.product.model=Fake;ro.product.device=fake;features={features}"
                )
                self.send(b"CNXN", _VERSION, _MAX_DATA, banner.encode())
        elif command == b"OPEN":
            self._last += 1
            stream = self._streams[self._last] = _Stream(self, self._last, first)
            self.send(b"OKAY", self._last, first)
            service = data.rstrip(b"\0").decode()
            threading.Thread(target=stream.run, args=(service,), daemon=True).start()
        elif second in self._streams:
            stream = self._streams[second]
            if command == b"WRTE":
                stream.incoming.put(data)
                self.send(b"OKAY", second, first)
            elif command == b"OKAY":
                stream.acknowledged.release()
            elif command == b"CLSE":
                stream.end()

    def forget(self, stream: int) -> None:
        self._streams.pop(stream, None)


class _Stream:
    """One service that adb opened: a shell, or the transfer of files."""

    def __init__(self, connection: _Connection, own: int, other: int) -> None:
        self._connection = connection
        self._own, self._other = own, other
        self.incoming: queue.Queue[bytes] = queue.Queue()
        self.acknowledged = threading.Semaphore(0)
        self._buffer = b""
        self._ended = False
        self._writing = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def end(self) -> None:
        self._ended = True
        self.incoming.put(b"")
        self.acknowledged.release()

    def run(self, service: str) -> None:
        try:
            if service.startswith(("shell", "exec")):
                self._shell(*service.split(":", 1))
            elif service == "sync:":
                self._sync()
        except EOFError:
            pass
        finally:
            self._connection.send(b"CLSE", self._own, self._other)
            self._connection.forget(self._own)

    def _write(self, data: bytes) -> None:
        with self._writing:
            for start in range(0, len(data), _MAX_DATA):
                if self._ended:
                    raise EOFError
                self._connection.send(b"WRTE", self._own, self._other, data[start : start + _MAX_DATA])
                self.acknowledged.acquire()

    def _read(self, length: int) -> bytes:
        while len(self._buffer) < length:
            part = self.incoming.get()
            if not part:
                raise EOFError
            self._buffer += part
        data, self._buffer = self._buffer[:length], self._buffer[length:]
        return data

    def _shell(self, kind: str, command: str) -> None:
        packets = "v2" in kind.split(",")
        process = self._connection.phone.start(command)
        assert process.stdin is not None
        if kind == "exec":  # an installation, which streams its file
            size = re.search(r"-S (\d+)", command.replace("'", ""))
            if size:
                self._connection.phone.free_bytes -= int(size[1])
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write(self._read(int(size[1])))
        process.stdin.close()

        def forward(pipe: int, number: int) -> None:
            with contextlib.suppress(EOFError):
                while data := os.read(pipe, 4096):
                    self._write(struct.pack("<BI", number, len(data)) + data if packets else data)

        pipes = [(process.stdout, _STDOUT), (process.stderr, _STDERR)]
        threads = [threading.Thread(target=forward, args=(p.fileno(), n)) for p, n in pipes if p is not None]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        code = process.wait()
        if packets and not self._ended:
            self._write(struct.pack("<BIB", _EXIT, 1, code if code >= 0 else 128 - code))

    def _sync(self) -> None:
        phone = self._connection.phone
        while True:
            name, length = self._read(4), struct.unpack("<I", self._read(4))[0]
            if name == b"QUIT":
                return
            argument = self._read(length).decode()
            if name in (b"STA2", b"LST2"):
                self._write(name + _stat_v2(phone.path(argument)))
            elif name == b"STAT":
                self._write(name + _stat_v1(phone.path(argument)))
            elif name == b"SEND":
                path, mode = argument.rsplit(",", 1)
                parts = []
                while True:
                    kind, size = self._read(4), struct.unpack("<I", self._read(4))[0]
                    if kind == b"DONE":
                        break
                    parts.append(self._read(size))
                try:
                    phone.receive(path, int(mode), b"".join(parts))
                    self._write(b"OKAY" + struct.pack("<I", 0))
                except OSError as error:
                    text = (error.strerror or str(error)).encode()
                    self._write(b"FAIL" + struct.pack("<I", len(text)) + text)
            elif name == b"RECV":
                try:
                    data = phone.path(argument).read_bytes()
                except OSError as error:
                    text = (error.strerror or str(error)).encode()
                    self._write(b"FAIL" + struct.pack("<I", len(text)) + text)
                    continue
                for start in range(0, len(data), 65536):
                    part = data[start : start + 65536]
                    self._write(b"DATA" + struct.pack("<I", len(part)) + part)
                self._write(b"DONE" + struct.pack("<I", 0))


def _stat_v2(path: Path) -> bytes:
    try:
        s = path.stat()
    except OSError as error:
        return struct.pack("<IQQIIIIQqqq", error.errno or 2, *[0] * 10)
    times = (int(s.st_atime), int(s.st_mtime), int(s.st_ctime))
    return struct.pack("<IQQIIIIQqqq", 0, s.st_dev, s.st_ino, s.st_mode, s.st_nlink, 0, 0, s.st_size, *times)


def _stat_v1(path: Path) -> bytes:
    try:
        s = path.stat()
    except OSError:
        return struct.pack("<III", 0, 0, 0)
    return struct.pack("<III", s.st_mode, s.st_size & 0xFFFFFFFF, int(s.st_mtime))
