"""The server as a Python user meets it: the official client, core messaging, the orders story on file and in memory, and a
kill -9 under load. SERVER names the executable."""
import asyncio, os, shutil, signal, socket, subprocess, tempfile, time

import nats
import pytest
from nats.errors import NoRespondersError, TimeoutError as NatsTimeout
from nats.js.api import AckPolicy, ConsumerConfig, StorageType, StreamConfig
from nats.js.errors import NotFoundError

SERVER = os.environ["SERVER"]
MILLRACE = "millrace" in os.path.basename(SERVER)


class Server:
    def __init__(self, shards):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.dir, self.shards = tempfile.mkdtemp(), shards
        self.start()

    def start(self):
        args = [SERVER, "-js", "-a", "127.0.0.1", "-p", str(self.port), "-sd", self.dir + "/data"]
        self.log = open(self.dir + "/log", "a")
        self.p = subprocess.Popen(args + (["--shards", str(self.shards)] if MILLRACE else []), stdout=self.log, stderr=self.log)
        for _ in range(600):
            try:
                return socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.01)
        raise RuntimeError(open(self.dir + "/log").read())

    def kill9(self):
        self.p.send_signal(signal.SIGKILL)
        self.p.wait()
        self.start()

    def close(self):
        self.p.kill()
        self.p.wait()
        shutil.rmtree(self.dir)


@pytest.fixture(params=[1, 2] if MILLRACE else [1])
def server(request):
    s = Server(request.param)
    yield s
    s.close()


def story(test):
    """runs an async test with a connection to a fresh server"""
    def run(server):
        async def main():
            nc = await nats.connect(f"nats://127.0.0.1:{server.port}", max_reconnect_attempts=-1, reconnect_time_wait=0.05)
            try:
                await test(server, nc)
            finally:
                await nc.close()
        asyncio.run(asyncio.wait_for(main(), 120))
    run.__name__ = test.__name__
    return run


@story
async def test_publish_subscribe_request(server, nc):
    got = asyncio.Queue()

    async def answer(m):
        await m.respond(b"re:" + m.data)

    await nc.subscribe("a.*", cb=got.put)
    await nc.subscribe("svc", queue="q", cb=answer)
    await nc.flush()
    other = await nats.connect(f"nats://127.0.0.1:{server.port}")
    for i in range(500):
        await other.publish(f"a.{i % 3}", str(i).encode(), headers={"n": str(i)})
    for i in range(500):
        m = await asyncio.wait_for(got.get(), 5)
        assert (m.subject, m.data, m.headers) == (f"a.{i % 3}", str(i).encode(), {"n": str(i)})
    assert (await other.request("svc", b"x", timeout=5)).data == b"re:x"
    with pytest.raises(NoRespondersError):
        await other.request("nobody", b"", timeout=5)
    await other.close()


@story
async def test_orders_story_on_file(server, nc):
    js = nc.jetstream()
    await js.add_stream(StreamConfig(name="ORDERS", subjects=["orders.*"]))
    for i in range(1, 11):
        ack = await js.publish("orders.new", f"order {i}".encode())
        assert (ack.stream, ack.seq) == ("ORDERS", i)
    server.kill9()
    await asyncio.sleep(0.3)
    sub = await js.pull_subscribe("orders.new", "proc", config=ConsumerConfig(ack_policy=AckPolicy.EXPLICIT, ack_wait=1))
    first = await sub.fetch(4, timeout=5)
    for m in first[:3]:
        await m.ack_sync()
    server.kill9()
    await asyncio.sleep(1.3)
    sub = await js.pull_subscribe("orders.new", "proc")
    seen = set()
    while len(seen) < 7:
        for m in await sub.fetch(10, timeout=10):
            assert m.data.decode() == f"order {m.metadata.sequence.stream}"
            seen.add(m.metadata.sequence.stream)
            await m.ack_sync()
    assert seen == {4, 5, 6, 7, 8, 9, 10}
    server.kill9()
    await asyncio.sleep(1.3)
    sub = await js.pull_subscribe("orders.new", "proc")
    with pytest.raises(NatsTimeout):
        await sub.fetch(1, timeout=1.5)


@story
async def test_orders_story_in_memory(server, nc):
    js = nc.jetstream()
    await js.add_stream(StreamConfig(name="M", subjects=["m"], storage=StorageType.MEMORY))
    for i in range(20):
        await js.publish("m", str(i).encode())
    sub = await js.pull_subscribe("m", "c")
    for k in range(2):
        for m in await sub.fetch(10, timeout=5):
            await m.ack_sync()
    assert (await js.consumer_info("M", "c")).num_pending == 0
    server.kill9()
    await asyncio.sleep(0.3)
    with pytest.raises(NotFoundError):
        await js.stream_info("M")


@story
async def test_kill9_under_load(server, nc):
    js = nc.jetstream()
    await js.add_stream(StreamConfig(name="L", subjects=["l.*"]))
    acked, stop = {}, asyncio.Event()

    async def publisher(p):
        c = await nats.connect(f"nats://127.0.0.1:{server.port}", allow_reconnect=False, error_cb=quiet, closed_cb=quiet)
        j, k = c.jetstream(), 0
        while not stop.is_set():
            body = f"{p}/{k}/".encode() * (1 + k % 50)
            try:
                acked[(await j.publish(f"l.{p}", body, timeout=1)).seq] = body
            except Exception:
                break
            k += 1
        await c.close()

    async def quiet(*_):
        pass

    for _ in range(2):
        tasks = [asyncio.create_task(publisher(p)) for p in range(8)]
        await asyncio.sleep(1)
        await asyncio.to_thread(server.kill9)
        stop.set()
        await asyncio.gather(*tasks)
        stop.clear()
    await asyncio.sleep(0.3)
    assert len(acked) > 50
    sub = await js.pull_subscribe("l.*", "check", config=ConsumerConfig(ack_policy=AckPolicy.NONE))
    there, left = {}, 1
    while left:
        for m in await sub.fetch(500, timeout=5):
            seq = m.metadata.sequence.stream
            assert seq not in there
            there[seq], left = m.data, m.metadata.num_pending
    assert [s for s in acked if there.get(s) != acked[s]] == []
