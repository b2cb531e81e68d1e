package clients

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func newJS(t *testing.T, nc *nats.Conn) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(nc)
	check(t, err)
	return js
}

func background(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// The article's story: publish, consume with a durable that dies holding one message, restart by kill -9 between the steps;
// the message in hand comes back, acknowledged ones never do.
func TestOrdersStory(t *testing.T) {
	onShards(t, func(t *testing.T, s *server) {
		ctx := background(t)
		js := newJS(t, s.connect())
		_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders.>"}})
		check(t, err)
		for i := 1; i <= 10; i++ {
			ack, err := js.Publish(ctx, "orders.new", []byte(fmt.Sprint("order ", i)))
			check(t, err)
			if ack.Sequence != uint64(i) || ack.Stream != "ORDERS" {
				t.Fatalf("acknowledged as %s %d", ack.Stream, ack.Sequence)
			}
		}
		s.kill9AndRestart()
		c, err := js.CreateOrUpdateConsumer(ctx, "ORDERS", jetstream.ConsumerConfig{Durable: "proc", AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Second})
		check(t, err)
		batch, err := c.Fetch(4, jetstream.FetchMaxWait(5*time.Second))
		check(t, err)
		n := 0
		for m := range batch.Messages() {
			if n++; n < 4 {
				check(t, m.DoubleAck(ctx))
			}
		}
		if n != 4 {
			t.Fatalf("fetched %d of 4: %v", n, batch.Error())
		}
		s.kill9AndRestart()
		seen := map[uint64]uint64{}
		for len(seen) < 7 {
			m, err := c.Next(jetstream.FetchMaxWait(10 * time.Second))
			check(t, err)
			md, err := m.Metadata()
			check(t, err)
			if string(m.Data()) != fmt.Sprint("order ", md.Sequence.Stream) {
				t.Fatalf("sequence %d holds %q", md.Sequence.Stream, m.Data())
			}
			seen[md.Sequence.Stream] = md.NumDelivered
			check(t, m.DoubleAck(ctx))
		}
		for seq := uint64(4); seq <= 10; seq++ {
			if seen[seq] == 0 {
				t.Errorf("order %d did not come; got %v", seq, seen)
			}
		}
		s.kill9AndRestart()
		if m, err := c.Next(jetstream.FetchMaxWait(2500 * time.Millisecond)); err == nil {
			md, _ := m.Metadata()
			t.Fatalf("acknowledged order %d came back", md.Sequence.Stream)
		}
		info, err := c.Info(ctx)
		check(t, err)
		if info.AckFloor.Stream != 10 || info.NumAckPending != 0 || info.NumPending != 0 {
			t.Errorf("after all is acknowledged: %+v", info)
		}
	})
}

func TestMemoryStreamIsGoneAfterRestart(t *testing.T) {
	s := startServer(t)
	ctx := background(t)
	js := newJS(t, s.connect())
	cfg := jetstream.StreamConfig{Name: "M", Subjects: []string{"m"}, Storage: jetstream.MemoryStorage}
	_, err := js.CreateStream(ctx, cfg)
	check(t, err)
	for i := 0; i < 100; i++ {
		_, err := js.Publish(ctx, "m", []byte("x"))
		check(t, err)
	}
	st, err := js.Stream(ctx, "M")
	check(t, err)
	if st.CachedInfo().State.Msgs != 100 {
		t.Fatalf("%d messages", st.CachedInfo().State.Msgs)
	}
	s.kill9AndRestart()
	_, err = js.CreateStream(ctx, cfg)
	check(t, err)
	ack, err := js.Publish(ctx, "m", nil)
	check(t, err)
	if ack.Sequence != 1 {
		t.Errorf("sequence %d in a fresh memory stream", ack.Sequence)
	}
}

// readAll returns a stream's messages by sequence, read in order through a consumer of its own.
func readAll(t *testing.T, ctx context.Context, js jetstream.JetStream, stream string) map[uint64]string {
	t.Helper()
	c, err := js.CreateConsumer(ctx, stream, jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy})
	check(t, err)
	all, last := map[uint64]string{}, uint64(0)
	for {
		b, err := c.Fetch(1000, jetstream.FetchMaxWait(time.Second))
		check(t, err)
		n := 0
		for m := range b.Messages() {
			md, err := m.Metadata()
			check(t, err)
			if n++; md.Sequence.Stream <= last {
				t.Fatalf("%s: %d after %d", stream, md.Sequence.Stream, last)
			}
			last = md.Sequence.Stream
			all[last] = string(m.Data())
			if md.NumPending == 0 {
				return all
			}
		}
		if n == 0 {
			return all
		}
	}
}

// kill -9 under load, several publishers on several streams: every acknowledged message is there once, under the sequence its
// acknowledgement named, byte for byte, and per publisher in order; whatever was confirmed to a consumer never comes again.
func TestKill9UnderLoad(t *testing.T) {
	onShards(t, func(t *testing.T, s *server) {
		ctx := background(t)
		const streams, publishers = 3, 4
		const ackWait = 3 * time.Second // longer than a batch takes to confirm: only a lost ack can bring a message back
		admin := newJS(t, s.connect())
		for i := 0; i < streams; i++ {
			_, err := admin.CreateStream(ctx, jetstream.StreamConfig{Name: fmt.Sprint("S", i), Subjects: []string{fmt.Sprintf("s%d.>", i)}})
			check(t, err)
			_, err = admin.CreateOrUpdateConsumer(ctx, fmt.Sprint("S", i), jetstream.ConsumerConfig{Durable: "c", AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait, MaxAckPending: 1000})
			check(t, err)
		}
		type acked struct{ body string }
		var mu sync.Mutex
		stored := make([]map[uint64]acked, streams)
		confirmed := make([]map[uint64]bool, streams)
		for i := range stored {
			stored[i], confirmed[i] = map[uint64]acked{}, map[uint64]bool{}
		}
		for round := 0; round < 3; round++ {
			stop := make(chan struct{})
			var wg sync.WaitGroup
			for p := 0; p < publishers; p++ {
				nc := s.connect(nats.NoReconnect())
				js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(256))
				check(t, err)
				wg.Add(1)
				go func() {
					defer wg.Done()
					defer nc.Close()
					type sent struct {
						stream int
						body   string
						f      jetstream.PubAckFuture
					}
					var out []sent
					for k := 0; ; k++ {
						select {
						case <-stop:
							for _, o := range out {
								select {
								case a := <-o.f.Ok():
									mu.Lock()
									if had, ok := stored[o.stream][a.Sequence]; ok && had.body != o.body {
										t.Errorf("sequence %d of S%d was acknowledged for %q and for %q", a.Sequence, o.stream, had.body, o.body)
									}
									stored[o.stream][a.Sequence] = acked{o.body}
									mu.Unlock()
								default:
								}
							}
							return
						default:
						}
						st := rand.Intn(streams)
						body := fmt.Sprintf("%d/%d/%d/%s", round, p, k, string(make([]byte, rand.Intn(2000))))
						f, err := js.PublishAsync(fmt.Sprintf("s%d.p%d", st, p), []byte(body))
						if err != nil {
							<-stop
							continue
						}
						out = append(out, sent{st, body, f})
					}
				}()
			}
			for i := 0; i < streams; i++ {
				nc := s.connect(nats.NoReconnect())
				js := newJS(t, nc)
				wg.Add(1)
				go func() {
					defer wg.Done()
					defer nc.Close()
					c, err := js.Consumer(ctx, fmt.Sprint("S", i), "c")
					for err == nil {
						select {
						case <-stop:
							return
						default:
						}
						var b jetstream.MessageBatch
						if b, err = c.Fetch(50, jetstream.FetchMaxWait(300*time.Millisecond)); err != nil {
							break
						}
						for m := range b.Messages() {
							md, e := m.Metadata()
							if e != nil {
								continue
							}
							mu.Lock()
							if confirmed[i][md.Sequence.Stream] {
								t.Errorf("S%d: confirmed message %d came again", i, md.Sequence.Stream)
							}
							mu.Unlock()
							actx, cancel := context.WithTimeout(ctx, 400*time.Millisecond)
							if m.DoubleAck(actx) == nil {
								mu.Lock()
								confirmed[i][md.Sequence.Stream] = true
								mu.Unlock()
							}
							cancel()
						}
					}
				}()
			}
			time.Sleep(1200 * time.Millisecond)
			s.kill9AndRestart()
			time.Sleep(100 * time.Millisecond)
			close(stop)
			wg.Wait()
		}
		js := newJS(t, s.connect())
		total, missing := 0, 0
		for i := range stored {
			there := readAll(t, ctx, js, fmt.Sprint("S", i))
			for seq, want := range stored[i] {
				total++
				if got, ok := there[seq]; !ok {
					if missing++; missing < 5 {
						t.Errorf("S%d: acknowledged message %d is missing", i, seq)
					}
				} else if got != want.body {
					t.Errorf("S%d: message %d is %.30q, acknowledged was %.30q", i, seq, got, want.body)
				}
			}
		}
		time.Sleep(ackWait + 200*time.Millisecond)
		nconf := 0
		for i := range confirmed {
			nconf += len(confirmed[i])
			c, err := js.Consumer(ctx, fmt.Sprint("S", i), "c")
			check(t, err)
			for {
				b, err := c.FetchNoWait(500)
				check(t, err)
				n := 0
				for m := range b.Messages() {
					n++
					md, _ := m.Metadata()
					if confirmed[i][md.Sequence.Stream] {
						t.Errorf("S%d: confirmed message %d came again after the last restart", i, md.Sequence.Stream)
					}
					m.Ack()
				}
				if n == 0 {
					break
				}
			}
		}
		if total == 0 || nconf == 0 {
			t.Fatalf("nothing was tested: %d acknowledged, %d confirmed", total, nconf)
		}
		t.Logf("%d acknowledged messages checked, %d missing; %d confirmed acks", total, missing, nconf)
	})
}

// One folder opened with 1, then 4, then 2 shards keeps every stream.
func TestShardCountsOverOneFolder(t *testing.T) {
	if !isMillrace() {
		t.Skip("the peer has no shards")
	}
	s := startServer(t, withShards(1)...)
	ctx := background(t)
	js := newJS(t, s.connect())
	for step, shards := range []int{1, 4, 2} {
		if step > 0 {
			s.args = withShards(shards)
			s.kill9AndRestart()
		}
		for i := 0; i < 4; i++ {
			name := fmt.Sprintf("N%d_%d", step, i)
			_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: name, Subjects: []string{name}})
			check(t, err)
		}
		for old := 0; old <= step; old++ {
			for i := 0; i < 4; i++ {
				name := fmt.Sprintf("N%d_%d", old, i)
				ack, err := js.Publish(ctx, name, []byte(fmt.Sprint(step)))
				check(t, err)
				if want := uint64(step - old + 1); ack.Sequence != want {
					t.Errorf("%s with %d shards: sequence %d, wants %d", name, shards, ack.Sequence, want)
				}
			}
		}
	}
}

func TestDeduplicationSurvivesRestart(t *testing.T) {
	s := startServer(t)
	ctx := background(t)
	js := newJS(t, s.connect())
	_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "D", Subjects: []string{"d"}})
	check(t, err)
	first, err := js.Publish(ctx, "d", []byte("1"), jetstream.WithMsgID("id-1"))
	check(t, err)
	for i := 0; i < 2; i++ {
		again, err := js.Publish(ctx, "d", []byte("2"), jetstream.WithMsgID("id-1"))
		check(t, err)
		if !again.Duplicate || again.Sequence != first.Sequence {
			t.Fatalf("restart %d: %+v", i, again)
		}
		s.kill9AndRestart()
	}
	if _, err = js.Publish(ctx, "d", nil, jetstream.WithExpectLastSequence(7)); err == nil {
		t.Fatal("a wrong expected sequence was taken")
	}
	var api *jetstream.APIError
	if !errors.As(err, &api) || api.ErrorCode != 10071 {
		t.Fatalf("wrong expected sequence: %v", err)
	}
}

func TestLimits(t *testing.T) {
	onShards(t, func(t *testing.T, s *server) {
		ctx := background(t)
		js := newJS(t, s.connect())
		st, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "L", Subjects: []string{"l.*"}, MaxMsgs: 50, MaxMsgsPerSubject: 5})
		check(t, err)
		for i := 0; i < 200; i++ {
			_, err := js.Publish(ctx, fmt.Sprintf("l.%d", i%20), []byte(fmt.Sprint(i)))
			check(t, err)
		}
		info, err := st.Info(ctx, jetstream.WithSubjectFilter(">"))
		check(t, err)
		if info.State.Msgs != 50 || info.State.FirstSeq != 151 || info.State.LastSeq != 200 || len(info.State.Subjects) != 20 {
			t.Errorf("%+v", info.State)
		}
		m, err := st.GetLastMsgForSubject(ctx, "l.3")
		check(t, err)
		if m.Sequence != 184 {
			t.Errorf("last on l.3 is %d", m.Sequence)
		}
		check(t, st.Purge(ctx, jetstream.WithPurgeSubject("l.3")))
		check(t, st.DeleteMsg(ctx, 200))
		_, err = st.GetMsg(ctx, 200)
		if !errors.Is(err, jetstream.ErrMsgNotFound) {
			t.Errorf("a deleted message: %v", err)
		}
		n, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "N", Subjects: []string{"n"}, MaxMsgs: 3, Discard: jetstream.DiscardNew})
		check(t, err)
		for i := 0; i < 3; i++ {
			_, err := js.Publish(ctx, "n", nil)
			check(t, err)
		}
		if _, err = js.Publish(ctx, "n", nil); err == nil {
			t.Error("a fourth message in a stream of three")
		}
		before, err := st.Info(ctx)
		check(t, err)
		s.kill9AndRestart()
		after, err := st.Info(ctx)
		check(t, err)
		if fmt.Sprint(after.State) != fmt.Sprint(before.State) {
			t.Errorf("before the restart %+v\nafter it %+v", before.State, after.State)
		}
		ninfo, err := n.Info(ctx)
		check(t, err)
		if ninfo.State.Msgs != 3 {
			t.Errorf("after restart: %+v", ninfo.State)
		}
	})
}

func TestNakTermProgressAndMaxDeliver(t *testing.T) {
	onShards(t, func(t *testing.T, s *server) {
		ctx := background(t)
		js := newJS(t, s.connect())
		_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "R", Subjects: []string{"r"}})
		check(t, err)
		for i := 0; i < 3; i++ {
			_, err := js.Publish(ctx, "r", []byte(fmt.Sprint(i)))
			check(t, err)
		}
		c, err := js.CreateConsumer(ctx, "R", jetstream.ConsumerConfig{Durable: "c", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 400 * time.Millisecond, MaxDeliver: 2})
		check(t, err)
		next := func() (jetstream.Msg, *jetstream.MsgMetadata) {
			t.Helper()
			m, err := c.Next(jetstream.FetchMaxWait(5 * time.Second))
			check(t, err)
			md, err := m.Metadata()
			check(t, err)
			return m, md
		}
		one, _ := next()
		check(t, one.Nak())
		two, _ := next() // the negative acknowledgement makes 1 due at once; a new message may still come first
		m3, _ := next()
		deliveries := map[uint64]uint64{}
		for _, m := range []jetstream.Msg{two, m3} {
			md, _ := m.Metadata()
			deliveries[md.Sequence.Stream] = md.NumDelivered
			check(t, m.InProgress())
			check(t, m.Term())
		}
		if deliveries[1] != 2 {
			t.Errorf("the refused message was not redelivered: %v", deliveries)
		}
		last, md := next()
		if md.NumDelivered != 1 {
			t.Errorf("sequence %d delivered %d times", md.Sequence.Stream, md.NumDelivered)
		}
		_ = last // not acknowledged: comes once more, then max_deliver is reached
		_, md2 := next()
		if md2.Sequence.Stream != md.Sequence.Stream || md2.NumDelivered != 2 {
			t.Errorf("redelivery is %+v", md2)
		}
		if m, err := c.Next(jetstream.FetchMaxWait(1500 * time.Millisecond)); err == nil {
			md, _ := m.Metadata()
			t.Errorf("a third delivery of %d", md.Sequence.Stream)
		}
	})
}
