// Work queues and streams kept by interest, under workers that come and go and a server that is killed.
package clients

import (
	"context"
	"fmt"
	"math/rand"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A ledger remembers what clients were told of one stream.
type ledger struct {
	t         *testing.T
	mu        sync.Mutex
	consumers []string
	stored    map[uint64]string                   // acknowledged publishes
	asked     map[uint64]map[string]bool          // an acknowledgement was sent for this consumer
	confirmed map[uint64]map[string]bool          // and answered
	wanted    func(consumer, subject string) bool // does the consumer get the subject?
	subjects  map[uint64]string
}

func newLedger(t *testing.T, wanted func(consumer, subject string) bool, consumers ...string) *ledger {
	return &ledger{t: t, consumers: consumers, wanted: wanted, stored: map[uint64]string{}, subjects: map[uint64]string{},
		asked: map[uint64]map[string]bool{}, confirmed: map[uint64]map[string]bool{}}
}

func note(m map[uint64]map[string]bool, seq uint64, consumer string) {
	if m[seq] == nil {
		m[seq] = map[string]bool{}
	}
	m[seq][consumer] = true
}

func (l *ledger) published(seq uint64, subject, body string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if had, ok := l.stored[seq]; ok {
		l.t.Errorf("sequence %d was acknowledged for %q and for %q", seq, had, body)
	}
	l.stored[seq], l.subjects[seq] = body, subject
}

func (l *ledger) delivered(m jetstream.Msg, consumer string) uint64 {
	md, err := m.Metadata()
	if err != nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	seq := md.Sequence.Stream
	if l.confirmed[seq][consumer] {
		l.t.Errorf("message %d came again to %s, which had its acknowledgement confirmed", seq, consumer)
	}
	if had, ok := l.stored[seq]; ok && had != string(m.Data()) {
		l.t.Errorf("message %d is %q, acknowledged was %q", seq, m.Data(), had)
	}
	return seq
}

// work answers messages of one consumer until stop: confirmed, plainly, with a refusal, or not at all.
func (l *ledger) work(ctx context.Context, js jetstream.JetStream, stream, consumer string, stop chan struct{}) {
	c, err := js.Consumer(ctx, stream, consumer)
	for err == nil {
		select {
		case <-stop:
			return
		default:
		}
		var b jetstream.MessageBatch
		if b, err = c.Fetch(20, jetstream.FetchMaxWait(200*time.Millisecond)); err != nil {
			return
		}
		for m := range b.Messages() {
			seq, dice := l.delivered(m, consumer), rand.Intn(10)
			if seq == 0 || dice == 0 {
				continue
			}
			if dice == 1 {
				m.Nak()
				continue
			}
			l.mu.Lock()
			note(l.asked, seq, consumer)
			l.mu.Unlock()
			if dice == 2 {
				m.Term()
				continue
			}
			if dice < 6 {
				m.Ack()
				continue
			}
			actx, cancel := context.WithTimeout(ctx, 400*time.Millisecond)
			if m.DoubleAck(actx) == nil {
				l.mu.Lock()
				note(l.confirmed, seq, consumer)
				l.mu.Unlock()
			}
			cancel()
		}
	}
}

func (l *ledger) publish(ctx context.Context, js jetstream.JetStream, subjects []string, stop chan struct{}) {
	for k := 0; ; k++ {
		select {
		case <-stop:
			return
		default:
		}
		subject := subjects[rand.Intn(len(subjects))]
		body := fmt.Sprintf("%s/%d/%d", subject, k, rand.Int63())
		pctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		if a, err := js.Publish(pctx, subject, []byte(body), jetstream.WithRetryAttempts(0)); err == nil {
			l.published(a.Sequence, subject, body)
		}
		cancel()
	}
}

// check holds what the stream has against what was said: live is what must stay for a consumer that has not answered.
func (l *ledger) check(live map[uint64]bool, unclaimedStay bool) {
	kept, gone := 0, 0
	for seq, subject := range l.subjects {
		open, settled, anyone := false, true, false
		for _, c := range l.consumers {
			if !l.wanted(c, subject) {
				continue
			}
			anyone = true
			open = open || !l.asked[seq][c]
			settled = settled && l.confirmed[seq][c]
		}
		if !anyone {
			open, settled = unclaimedStay, !unclaimedStay
		}
		if open && !live[seq] {
			l.t.Errorf("message %d on %s is missing: not everybody had acknowledged it", seq, subject)
		}
		if settled && live[seq] {
			l.t.Errorf("message %d on %s is there: everybody's acknowledgement was confirmed", seq, subject)
		}
		if open {
			kept++
		}
		if settled {
			gone++
		}
	}
	if kept == 0 || gone == 0 {
		l.t.Errorf("nothing was tested: %d had to stay, %d to go", kept, gone)
	}
	l.t.Logf("%d publishes acknowledged: %d had to stay, %d to go", len(l.subjects), kept, gone)
}

func liveSet(t *testing.T, ctx context.Context, js jetstream.JetStream, stream string) map[uint64]bool {
	t.Helper()
	s, err := js.Stream(ctx, stream)
	check(t, err)
	info, err := s.Info(ctx, jetstream.WithDeletedDetails(true))
	check(t, err)
	live := map[uint64]bool{}
	for seq := info.State.FirstSeq; seq <= info.State.LastSeq; seq++ {
		live[seq] = true
	}
	for _, seq := range info.State.Deleted {
		delete(live, seq)
	}
	if uint64(len(live)) != info.State.Msgs {
		t.Errorf("%s says %d messages and has %d", stream, info.State.Msgs, len(live))
	}
	return live
}

func retentionUnderKills(t *testing.T, s *server, retention jetstream.RetentionPolicy, filters map[string][]string, unclaimedStay bool) {
	ctx := background(t)
	admin := newJS(t, s.connect())
	_, err := admin.CreateStream(ctx, jetstream.StreamConfig{Name: "R", Subjects: []string{"r.>"}, Retention: retention})
	check(t, err)
	var names []string
	for name, subjects := range filters {
		names = append(names, name)
		_, err := admin.CreateConsumer(ctx, "R", jetstream.ConsumerConfig{Durable: name, FilterSubjects: subjects,
			AckPolicy: jetstream.AckExplicitPolicy, AckWait: 2 * time.Second, MaxAckPending: 500})
		check(t, err)
	}
	l := newLedger(t, func(consumer, subject string) bool {
		for _, f := range filters[consumer] {
			if f == subject {
				return true
			}
		}
		return false
	}, names...)
	for round := 0; round < 3; round++ {
		stop := make(chan struct{})
		var wg sync.WaitGroup
		run := func(f func(js jetstream.JetStream)) {
			nc := s.connect(nats.NoReconnect())
			js := newJS(t, nc)
			wg.Add(1)
			go func() {
				defer wg.Done()
				defer nc.Close()
				f(js)
			}()
		}
		for p := 0; p < 4; p++ {
			run(func(js jetstream.JetStream) { l.publish(ctx, js, []string{"r.a", "r.b", "r.c"}, stop) })
		}
		for _, name := range names {
			for worker := 0; worker < 2; worker++ {
				run(func(js jetstream.JetStream) { l.work(ctx, js, "R", name, stop) })
			}
		}
		time.Sleep(1200 * time.Millisecond)
		s.kill9AndRestart()
		close(stop)
		wg.Wait()
		l.check(liveSet(t, ctx, newJS(t, s.connect()), "R"), unclaimedStay)
	}
}

// Several workers share each consumer of a work queue: what was confirmed is gone for good, what nobody acknowledged stays,
// also what has no consumer.
func TestKill9WorkQueue(t *testing.T) {
	onShards(t, func(t *testing.T, s *server) {
		retentionUnderKills(t, s, jetstream.WorkQueuePolicy, map[string][]string{"a": {"r.a"}, "b": {"r.b"}}, true)
	})
}

// Two consumers share one subject of an interest stream; what nobody wants is never stored.
func TestKill9Interest(t *testing.T) {
	onShards(t, func(t *testing.T, s *server) {
		retentionUnderKills(t, s, jetstream.InterestPolicy, map[string][]string{"a": {"r.a", "r.b"}, "b": {"r.b"}}, false)
	})
}

// A queue that is worked off is empty, whoever worked: push and pull, and its numbers say so.
func TestWorkQueueIsWorkedOff(t *testing.T) {
	onShards(t, func(t *testing.T, s *server) {
		ctx := background(t)
		nc := s.connect()
		js := newJS(t, nc)
		stream, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "Q", Subjects: []string{"q.>"}, Retention: jetstream.WorkQueuePolicy})
		check(t, err)
		const count = 2000
		for i := 0; i < count; i++ {
			_, err := js.PublishAsync(fmt.Sprintf("q.%d", i%2), []byte(fmt.Sprint(i)))
			check(t, err)
		}
		<-js.PublishAsyncComplete()
		old, err := nc.JetStream()
		check(t, err)
		var mu sync.Mutex
		seen := map[string]int{}
		took := func(body string) {
			mu.Lock()
			seen[body]++
			mu.Unlock()
		}
		var subs []*nats.Subscription
		for i := 0; i < 3; i++ {
			sub, err := old.QueueSubscribe("q.0", "workers", func(m *nats.Msg) { took(string(m.Data)); m.AckSync() }, nats.ManualAck(),
				nats.BindStream("Q"), nats.Durable("push"), nats.DeliverAll(), nats.AckExplicit())
			check(t, err)
			subs = append(subs, sub)
		}
		c, err := js.CreateConsumer(ctx, "Q", jetstream.ConsumerConfig{Durable: "pull", FilterSubject: "q.1", AckPolicy: jetstream.AckExplicitPolicy})
		check(t, err)
		_, err = js.CreateConsumer(ctx, "Q", jetstream.ConsumerConfig{Durable: "second", FilterSubject: "q.>", AckPolicy: jetstream.AckExplicitPolicy})
		if err == nil {
			t.Error("a second consumer got messages of the first")
		}
		for worker := 0; worker < 3; worker++ {
			cc, err := c.Consume(func(m jetstream.Msg) { took(string(m.Data())); m.DoubleAck(ctx) })
			check(t, err)
			defer cc.Stop()
		}
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			info, err := stream.Info(ctx)
			check(t, err)
			if info.State.Msgs == 0 {
				if info.State.FirstSeq != count+1 || info.State.LastSeq != count || info.State.Bytes != 0 {
					t.Errorf("an empty queue says %+v", info.State)
				}
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d messages are left", info.State.Msgs)
			}
		}
		mu.Lock()
		if len(seen) != count {
			t.Errorf("%d messages were seen, %d published", len(seen), count)
		}
		for body, n := range seen {
			if n != 1 {
				t.Errorf("message %s came %d times", body, n)
			}
		}
		mu.Unlock()
		for _, sub := range subs {
			sub.Unsubscribe()
		}
	})
}
