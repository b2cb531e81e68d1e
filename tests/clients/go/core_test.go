package clients

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

func onShards(t *testing.T, run func(t *testing.T, s *server)) {
	for _, n := range shardCounts {
		args := withShards(n)
		if n == shardCounts[len(shardCounts)-1] && isMillrace() {
			args = append(args, "--poll", "50")
		}
		t.Run(fmt.Sprintf("shards=%d", n), func(t *testing.T) { run(t, startServer(t, args...)) })
		if !isMillrace() {
			return
		}
	}
}

// A message published after a flush on another connection reaches every kind of subscription exactly once, in order.
func TestPubSubOrder(t *testing.T) {
	onShards(t, func(t *testing.T, s *server) {
		const count = 5000
		var wg sync.WaitGroup
		for i, subject := range []string{"a.b.c", "a.*.c", "a.>", ">"} {
			nc := s.connect()
			wg.Add(1)
			next := 0
			_, err := nc.Subscribe(subject, func(m *nats.Msg) {
				if m.Subject != "a.b.c" {
					return
				}
				if want := fmt.Sprint(next); string(m.Data) != want {
					t.Errorf("subscriber %d got %s, wants %s", i, m.Data, want)
				}
				if next++; next == count {
					wg.Done()
				}
			})
			check(t, err)
			check(t, nc.Flush())
		}
		pub := s.connect()
		for i := 0; i < count; i++ {
			check(t, pub.Publish("a.b.c", []byte(fmt.Sprint(i))))
		}
		check(t, pub.Flush())
		waitFor(t, &wg)
	})
}

func waitFor(t *testing.T, wg *sync.WaitGroup) {
	t.Helper()
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("messages are missing")
	}
}

// Of a queue group over many connections one member gets each message, and every member gets some.
func TestQueueGroup(t *testing.T) {
	onShards(t, func(t *testing.T, s *server) {
		const members, count = 6, 3000
		var total atomic.Int64
		var each [members]atomic.Int64
		for i := 0; i < members; i++ {
			nc := s.connect()
			_, err := nc.QueueSubscribe("work.*", "q", func(m *nats.Msg) { total.Add(1); each[i].Add(1) })
			check(t, err)
			check(t, nc.Flush())
		}
		pub := s.connect()
		for i := 0; i < count; i++ {
			check(t, pub.Publish(fmt.Sprintf("work.%d", i%7), nil))
		}
		check(t, pub.Flush())
		for i := 0; i < 200 && total.Load() < count; i++ {
			time.Sleep(20 * time.Millisecond)
		}
		if total.Load() != count {
			t.Fatalf("the group got %d of %d", total.Load(), count)
		}
		for i := range each {
			if each[i].Load() == 0 {
				t.Errorf("member %d got nothing", i)
			}
		}
	})
}

func TestRequestReply(t *testing.T) {
	onShards(t, func(t *testing.T, s *server) {
		service, client := s.connect(), s.connect()
		_, err := service.Subscribe("echo", func(m *nats.Msg) {
			r := nats.NewMsg(m.Reply)
			r.Data, r.Header = m.Data, m.Header
			m.RespondMsg(r)
		})
		check(t, err)
		check(t, service.Flush())
		for i := 0; i < 200; i++ {
			m := nats.NewMsg("echo")
			m.Data = []byte(fmt.Sprint(i))
			m.Header.Set("Key", fmt.Sprint("v", i))
			r, err := client.RequestMsg(m, 5*time.Second)
			check(t, err)
			if string(r.Data) != string(m.Data) || r.Header.Get("Key") != m.Header.Get("Key") {
				t.Fatalf("%d came back as %q %v", i, r.Data, r.Header)
			}
		}
		_, err = client.Request("nobody", nil, 5*time.Second)
		if !errors.Is(err, nats.ErrNoResponders) {
			t.Fatalf("a request nobody hears: %v", err)
		}
	})
}

func TestPayloads(t *testing.T) {
	onShards(t, func(t *testing.T, s *server) {
		nc, pub := s.connect(), s.connect()
		sub, err := nc.SubscribeSync("big")
		check(t, err)
		check(t, nc.Flush())
		for _, size := range []int{0, 1, 511, 4095, 65535, 65536, 300_000, 1 << 20} {
			data := bytes.Repeat([]byte{byte(size), 7, 0, '\r', '\n'}, size/5+1)[:size]
			check(t, pub.Publish("big", data))
			m, err := sub.NextMsg(5 * time.Second)
			check(t, err)
			if !bytes.Equal(m.Data, data) {
				t.Fatalf("%d bytes came back different", size)
			}
		}
		if err := pub.Publish("big", make([]byte, 1<<20+1)); !errors.Is(err, nats.ErrMaxPayload) {
			t.Fatalf("above max_payload: %v", err)
		}
	})
}

func TestAutoUnsubscribeAndNoEcho(t *testing.T) {
	onShards(t, func(t *testing.T, s *server) {
		nc := s.connect(nats.NoEcho())
		own, err := nc.SubscribeSync("x")
		check(t, err)
		other := s.connect()
		sub, err := other.SubscribeSync("x")
		check(t, err)
		check(t, sub.AutoUnsubscribe(3))
		check(t, other.Flush())
		for i := 0; i < 10; i++ {
			check(t, nc.Publish("x", nil))
		}
		check(t, nc.Flush())
		check(t, other.Flush())
		time.Sleep(50 * time.Millisecond)
		if n, _, _ := own.Pending(); n != 0 {
			t.Errorf("without echo, own messages came back: %d", n)
		}
		for i := 0; i < 3; i++ {
			_, err := sub.NextMsg(time.Second)
			check(t, err)
		}
		if _, err := sub.NextMsg(100 * time.Millisecond); err == nil {
			t.Error("a fourth message after unsubscribing at three")
		}
	})
}

// One subscriber that does not read is cut off; the others get everything.
func TestSlowConsumerStallsNobody(t *testing.T) {
	onShards(t, func(t *testing.T, s *server) {
		slow := dialRaw(t, s)
		slow.send("CONNECT {\"verbose\":false}\r\nSUB flood 1\r\nPING\r\n")
		slow.expect("PONG")
		var got atomic.Int64
		fast := s.connect()
		_, err := fast.Subscribe("flood", func(*nats.Msg) { got.Add(1) })
		check(t, err)
		check(t, fast.Flush())
		pub := s.connect()
		const count = 1200
		data := make([]byte, 128<<10)
		for i := 0; i < count; i++ {
			check(t, pub.Publish("flood", data))
			if i%100 == 0 {
				check(t, pub.Flush())
			}
		}
		check(t, pub.FlushTimeout(30*time.Second))
		for i := 0; i < 500 && got.Load() < count; i++ {
			time.Sleep(20 * time.Millisecond)
		}
		if got.Load() != count {
			t.Fatalf("the fast subscriber got %d of %d", got.Load(), count)
		}
		slow.expectClosed()
	})
}

func TestStopsInOrder(t *testing.T) {
	s := startServer(t)
	s.connect()
	if code := s.stop(syscall.SIGTERM); code != 0 && isMillrace() {
		t.Fatalf("exit status %d after SIGTERM", code)
	}
}
