"""A NATS client of the protocol's bare bones and a server that can be killed, for the crash tests."""
import asyncio
import json
import os
import random
import shutil
import socket
import subprocess
import tempfile
import time


class Gone(Exception):
    """The connection ended."""


class Refused(AssertionError):
    """The server answered with an error."""


class Server:
    def __init__(self, path, folder, shards=1, io="auto", limits=()):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.command = [*limits, path, "-js", "-sd", folder, "-a", "127.0.0.1", "-p", str(self.port),
                        "--shards", str(shards), "--io", io]
        self.log = tempfile.mktemp(prefix="mr-crash-log-")
        self.process = None

    def spawn(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)

    def start(self):
        self.spawn()
        until = time.monotonic() + 30
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise AssertionError(f"it ended with {self.process.returncode}:\n{self.text()[-2000:]}")
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as s:
                    if s.recv(4):
                        return self
            except OSError:
                time.sleep(0.005)
        raise AssertionError("the server does not answer")

    def kill(self):
        if self.process.poll() is not None:
            raise AssertionError(f"it had ended with {self.process.returncode}:\n{self.text()[-3000:]}")
        self.process.kill()
        self.process.wait()

    def end(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if os.path.exists(self.log):
            os.remove(self.log)

    def text(self):
        with open(self.log, errors="replace") as f:
            return f.read()


class Client:
    async def connect(self, port):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 26)
        self.closed, self.handlers, self.waiting, self.pongs, self.count = False, {}, {}, [], 0
        self.inbox = f"_INBOX.{random.getrandbits(60):x}"
        self.writer.write(b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\n')
        self.subscribe(self.inbox + ".*", self.on_reply)
        self.task = asyncio.ensure_future(self.read())
        return self

    def subscribe(self, subject, handler):
        sid = len(self.handlers) + 1
        self.handlers[sid] = handler
        self.writer.write(f"SUB {subject} {sid}\r\n".encode())

    def on_reply(self, subject, _reply, headers, body):
        future = self.waiting.pop(subject, None)
        if future and not future.done():
            future.set_result((headers, body))

    async def read(self):
        try:
            while line := await self.reader.readline():
                words = line[:-2].split(b" ")
                if words[0] in (b"MSG", b"HMSG"):
                    split = int(words[-2]) if words[0] == b"HMSG" else 0
                    body = (await self.reader.readexactly(int(words[-1]) + 2))[:-2]
                    reply = words[3:-2 if split else -1]
                    self.handlers[int(words[2])](words[1].decode(), reply[0].decode() if reply else None,
                                                 body[:split], body[split:])
                elif words[0] == b"PING":
                    self.writer.write(b"PONG\r\n")
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        self.closed = True
        for future in self.waiting.values():
            if not future.done():
                future.set_exception(Gone())
                future.exception()
        self.writer.close()

    def publish(self, subject, body=b"", reply="", headers=None):
        if self.closed:
            raise Gone()
        if headers:
            lines = "".join(f"{k}: {v}\r\n" for k, v in headers.items())
            block = f"NATS/1.0\r\n{lines}\r\n".encode()
            op = f"HPUB {subject} {reply} {len(block)} {len(block) + len(body)}\r\n"
            self.writer.write(op.encode() + block + body + b"\r\n")
        else:
            self.writer.write(f"PUB {subject} {reply} {len(body)}\r\n".encode() + body + b"\r\n")

    def ask(self, subject, body=b"", headers=None):
        self.count += 1
        inbox, future = f"{self.inbox}.{self.count}", asyncio.get_running_loop().create_future()
        self.waiting[inbox] = future
        self.publish(subject, body, inbox, headers)
        return future

    async def request(self, subject, body=b"", headers=None, timeout=15):
        return await asyncio.wait_for(self.ask(subject, body, headers), timeout)

    async def api(self, subject, request=None):
        _, body = await self.request("$JS.API." + subject, json.dumps(request or {}).encode())
        return json.loads(body)

    async def made(self, subject, request):
        return self.taken(json.dumps(await self.api(subject, request)))

    def taken(self, answer):
        answer = json.loads(answer)
        if "error" in answer:
            raise Refused(answer["error"])
        return answer

    async def get(self, stream, seq):
        """The message's bytes; None: the stream has no such message."""
        headers, body = await self.request(f"$JS.API.DIRECT.GET.{stream}", b'{"seq":%d}' % seq)
        return None if b" 404 " in headers.split(b"\r\n")[0] else body

    async def get_all(self, stream, seqs):
        room = asyncio.Semaphore(300)

        async def one(seq):
            async with room:
                return await self.get(stream, seq)
        return dict(zip(seqs, await asyncio.gather(*[one(s) for s in seqs])))

    async def close(self):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


def folder():
    path = tempfile.mkdtemp(prefix="mr-crash-")
    return path, lambda: shutil.rmtree(path, ignore_errors=True)
