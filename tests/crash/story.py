"""What clients of a server that dies again and again were told, and what must hold whenever it is back."""
import asyncio
import json
import random
import subprocess
import time

from client import Client, Gone, Refused


class Skip(Exception):
    """Cannot run here."""


def sh(command):
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    if done.returncode:
        raise Skip(f"{command.split()[0]}: {done.stderr.strip() or done.returncode}")
    return done.stdout.strip()


async def stream(c, name, **more):
    config = {"name": name, "subjects": [f"{name}.>"], "allow_direct": True, **more}
    await c.made(f"STREAM.CREATE.{name}", config)


async def consumer(c, of, name, **more):
    config = {"durable_name": name, "ack_policy": "explicit", **more}
    return await c.made(f"CONSUMER.CREATE.{of}.{name}", {"stream_name": of, "config": config})


async def publish(c, subject, bodies, acked, timeout=15):
    """Publishes all at once; {answer: how often}, and what was acknowledged goes to acked."""
    futures, seen = [c.ask(subject, b) for b in bodies], {}
    await asyncio.wait(futures, timeout=timeout)
    for body, future in zip(bodies, futures):
        answer = "none"
        if future.done() and not future.exception():
            nobody = b'{"error":{"description":"no responders"}}'
            answer = json.loads(future.result()[1] or nobody)
            if "error" not in answer:
                acked[answer["seq"]] = body
            answer = answer.get("error", {}).get("description", "ok")
        seen[answer] = seen.get(answer, 0) + 1
    return seen


class Story:
    """What the clients were told, over all lives of the server."""
    def __init__(self):
        self.acked, self.ids, self.deleted, self.confirmed = {}, {}, set(), set()
        self.deleting, self.made, self.count, self.again = None, 0, 0, []

    def body(self):
        self.count += 1
        return b"%d:" % self.count + b"x" * random.choice([10, 200, 3000])

    async def publisher(self, c):
        while True:
            await publish(c, "F.a", [self.body() for _ in range(random.randint(1, 50))], self.acked)
            if c.closed:
                return

    async def large(self, c):
        while True:
            await publish(c, "F.large", [self.body() * 300 for _ in range(2)], self.acked)
            if c.closed:
                return

    async def identified(self, c):
        while True:
            name = next((n for n, (seq, _) in self.ids.items() if seq is None), f"id{len(self.ids)}")
            body = self.ids.setdefault(name, (None, self.body()))[1]
            answer = c.taken((await c.request("D.a", body, {"Nats-Msg-Id": name}))[1])
            self.ids[name] = (answer["seq"], body)
            name = random.choice(list(self.ids))
            if self.ids[name][0]:
                answer = c.taken((await c.request("D.a", body, {"Nats-Msg-Id": name}))[1])
                assert answer.get("duplicate") and answer["seq"] == self.ids[name][0], (name, answer)

    async def deleter(self, c):
        while True:
            await asyncio.sleep(0.005)
            if self.acked:
                self.deleting = random.choice(list(self.acked))
                await c.made("STREAM.MSG.DELETE.F", {"seq": self.deleting})
                self.acked.pop(self.deleting)
                self.deleted.add(self.deleting)
                self.deleting = None

    async def creator(self, c):
        while self.made < 40:
            name = f"N{self.made}"
            await stream(c, name)
            await consumer(c, name, "c")
            self.made += 1

    async def consume(self, c):
        inbox, got = f"_C.{random.getrandbits(60):x}", asyncio.Queue()

        def on_message(_subject, reply, _headers, body):
            if reply:
                seq = int(reply.split(".")[5])
                if seq in self.confirmed:
                    self.again.append(reply)
                got.put_nowait((seq, reply))
        c.subscribe(inbox, on_message)
        while not c.closed:
            c.publish("$JS.API.CONSUMER.MSG.NEXT.F.c", b'{"batch":20,"expires":300000000}', inbox)
            for _ in range(20):
                seq, reply = await asyncio.wait_for(got.get(), 1)
                _, answer = await c.request(reply, b"+ACK")
                if answer == b"":
                    self.confirmed.add(seq)

    async def check(self, c, everything):
        assert not self.again, f"confirmed, and came again: {self.again}"
        state = (await c.made("STREAM.INFO.F", {}))["state"]
        assert state["last_seq"] >= max(self.acked, default=0), state
        if self.deleting and await c.get("F", self.deleting) is None:
            self.acked.pop(self.deleting, None)
        self.deleting = None
        seqs = sorted(self.acked) if everything else sorted(self.acked)[-100:]
        for seq, body in (await c.get_all("F", seqs)).items():
            assert body == self.acked[seq], f"F {seq}: {body and body[:20]} is not {self.acked[seq][:20]}"
        for seq, body in (await c.get_all("F", sorted(self.deleted)[-50:])).items():
            assert body is None, f"F {seq} was deleted and is there"
        known = {seq: body for seq, body in self.ids.values() if seq}
        for seq, body in (await c.get_all("D", sorted(known)[-100:])).items():
            assert body == known[seq], f"D {seq}"
        names = (await c.made("STREAM.NAMES", {}))["streams"]
        assert {f"N{i}" for i in range(self.made)} <= set(names), names
        if self.made:
            await c.made(f"CONSUMER.INFO.N{self.made - 1}.c", {})


async def one_life(server, story, number, strike, ready=None):
    """One life of the server, full of work, that strike() ends; at times while it still starts. With ready, which is
    called when what should be there was found there, the disk may fail before the server does, and it may say so."""
    server.spawn()
    if random.random() < 0.2:
        await asyncio.sleep(random.random() * 0.04)
        strike()
        return
    clients = []
    until = time.monotonic() + 20
    while not clients:
        try:
            clients = [await Client().connect(server.port) for _ in range(3)]
        except OSError:
            assert time.monotonic() < until and server.process.poll() is None, server.text()[-2000:]
            await asyncio.sleep(0.003)
    await story.check(clients[0], number % 8 == 0)
    if ready:
        ready()
    a, b, c = clients
    works = [story.publisher(a), story.large(b), story.identified(b), story.deleter(c), story.creator(c),
             story.consume(a)]
    tasks = [asyncio.ensure_future(w) for w in works]
    await asyncio.sleep(0.03 + random.random() * 0.2)
    strike()
    await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if ready and isinstance(result, Refused):
            continue
        if result and not isinstance(result, (Gone, OSError, asyncio.TimeoutError, asyncio.CancelledError)):
            raise result
    for client in clients:
        await client.close()
