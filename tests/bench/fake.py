"""A small server of the NATS protocol with streams in memory, that tells one lie: fake.py PORT LIE [AFTER]

AFTER so many messages (default 50) it does once what the lie says, and is honest otherwise; `honest` never lies. It prints
`ready` when it accepts connections. Slow and simple: it stands in for servers that break what they promise."""
import asyncio
import base64
import json
import logging
import sys

logging.getLogger("asyncio").setLevel(logging.ERROR)  # bytes for a client that has gone are no news
LIES = """honest lose-ack lose-stored alter-stored repeat-sequence refuse wrong-stream double-ack lose-delivery double-delivery
swap-deliveries alter-delivery lose-answer alter-answer pull-lose pull-double pull-alter pull-swap pull-forget-ack hang-up""".split()
INFO = b'INFO {"server_id":"F","server_name":"fake","version":"2.10.0","headers":true,"max_payload":1048576,"proto":1}\r\n'


class Server:
    def __init__(self, lie, after):
        self.lie, self.after, self.count = lie, after, 0
        self.streams, self.subscriptions, self.held = {}, [], None

    def lies(self, *names):
        """Is it time for one of these? Counts what could be lied about."""
        if self.lie not in names:
            return False
        self.count += 1
        return self.count == self.after

    async def serve(self, reader, writer):
        writer.write(INFO)
        try:
            while line := await reader.readline():
                await self.handle(line.decode("latin-1").split(), reader, writer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        self.subscriptions = [s for s in self.subscriptions if s[2] is not writer]
        writer.close()

    async def handle(self, words, reader, writer):
        verb = words[0].upper() if words else ""
        if verb == "PING":
            writer.write(b"PONG\r\n")
        elif verb == "SUB":
            self.subscriptions.append((words[1], words[-1], writer))
        elif verb == "PUB":
            body = (await reader.readexactly(int(words[-1]) + 2))[:-2]
            self.publish(words[1], words[2] if len(words) == 4 else None, body, writer)

    def publish(self, subject, reply, body, writer):
        if subject.startswith("$JS.API."):
            self.api(subject.split(".")[2:], reply, body)
        elif subject.startswith("$JS.ACK."):
            if not self.lies("pull-forget-ack"):
                self.streams[subject.split(".")[2]]["pending"].discard(int(subject.split(".")[5]))
        elif stream := next((s for s in self.streams.values() if self.matches(s["subjects"], subject)), None):
            self.store(stream, subject, reply, body, writer)
        else:
            self.route(subject, reply, body)

    def matches(self, pattern, subject):
        p, s = pattern.split("."), subject.split(".")
        return len(p) == len(s) and all(a in ("*", b) for a, b in zip(p, s))

    def send(self, subject, body, reply=None):
        for pattern, sid, writer in self.subscriptions:
            if self.matches(pattern, subject):
                head = f"MSG {subject} {sid} {reply + ' ' if reply else ''}{len(body)}\r\n"
                writer.write(head.encode() + body + b"\r\n")

    def route(self, subject, reply, body):
        if subject.startswith("_INBOX") and self.lies("lose-answer"):
            return
        if subject.startswith("_INBOX") and self.lies("alter-answer") or self.lies("alter-delivery"):
            body = body[:-1] + bytes([body[-1] ^ 1])
        if self.lies("lose-delivery"):
            return
        if self.lies("swap-deliveries"):
            self.held = (subject, body, reply)
            return
        self.send(subject, body, reply)
        if self.lies("double-delivery"):
            self.send(subject, body, reply)
        if self.held:
            self.send(*self.held)
            self.held = None

    def store(self, stream, subject, reply, body, writer):
        if self.lies("hang-up"):
            writer.transport.abort()
            return
        if self.lies("refuse"):
            self.send(reply, b'{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"}}')
            return
        stored = body[:-1] + bytes([body[-1] ^ 1]) if self.lies("alter-stored") else body
        stream["last"] += 1
        if not self.lies("lose-stored"):
            stream["messages"][stream["last"]] = (subject, stored)
        if self.lies("lose-ack"):
            return
        sequence = stream["last"] - (1 if self.lies("repeat-sequence") else 0)
        name = "OTHER" if self.lies("wrong-stream") else stream["name"]
        for _ in range(2 if self.lies("double-ack") else 1):
            self.send(reply, json.dumps({"stream": name, "seq": sequence}).encode())

    def api(self, words, reply, body):
        asked = json.loads(body) if body else {}
        answer = {"type": "io.nats.jetstream.api.v1.response"}
        verb, name = ".".join(words[:2]), words[2] if len(words) > 2 else ""
        stream = self.streams.get(name if words[0] == "STREAM" and verb != "STREAM.MSG" else "")
        if verb == "STREAM.CREATE":
            self.streams[name] = {"name": name, "subjects": asked["subjects"][0], "messages": {}, "last": 0, "at": 0, "pending": set()}
        elif verb == "STREAM.DELETE":
            self.streams.pop(name, None)
        elif verb == "STREAM.INFO":
            answer["state"] = {"messages": len(stream["messages"]), "first_seq": 1, "last_seq": stream["last"]}
        elif verb == "STREAM.MSG":
            subject, stored = self.streams[words[3]]["messages"][asked["seq"]]
            answer["message"] = {"subject": subject, "seq": asked["seq"], "data": base64.b64encode(stored).decode()}
        elif verb == "CONSUMER.INFO":
            stream = self.streams[words[2]]
            floor = min(stream["pending"], default=stream["at"] + 1) - 1
            answer |= {"ack_floor": {"stream_seq": floor}, "num_ack_pending": len(stream["pending"]), "num_pending": 0}
        elif verb == "CONSUMER.MSG":
            self.deliver(self.streams[words[3]], words[4], reply, asked["batch"])
            return
        self.send(reply, json.dumps(answer).encode())

    def deliver(self, stream, consumer, inbox, batch):
        last = min(stream["last"], stream["at"] + batch)
        sequences = list(range(stream["at"] + 1, last + 1))
        stream["at"] = last
        stream["pending"].update(sequences)
        for i, n in enumerate(sequences):
            if self.lies("pull-lose"):
                continue
            if self.lies("pull-swap") and i + 1 < len(sequences):
                n, sequences[i + 1] = sequences[i + 1], n
            body = stream["messages"][n][1]
            if self.lies("pull-alter"):
                body = body[:-1] + bytes([body[-1] ^ 1])
            for _ in range(2 if self.lies("pull-double") else 1):
                self.send(inbox, body, f"$JS.ACK.{stream['name']}.{consumer}.1.{n}.{n}.1.0")


async def main():
    server = Server(sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 50)
    assert server.lie in LIES, LIES
    listening = await asyncio.start_server(server.serve, "127.0.0.1", int(sys.argv[1]))
    print("ready", listening.sockets[0].getsockname()[1], flush=True)
    await listening.serve_forever()


asyncio.run(main())
