package clients

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A paused consumer delivers nothing, a restart does not wake it, and it goes on by itself when the time has come.
func TestPauseConsumer(t *testing.T) {
	onShards(t, func(t *testing.T, s *server) {
		ctx := background(t)
		js := newJS(t, s.connect())
		_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}})
		check(t, err)
		_, err = js.Publish(ctx, "s", []byte("x"))
		check(t, err)
		c, err := js.CreateConsumer(ctx, "S", jetstream.ConsumerConfig{Durable: "c", AckPolicy: jetstream.AckExplicitPolicy})
		check(t, err)
		p, err := js.PauseConsumer(ctx, "S", "c", time.Now().Add(time.Hour))
		check(t, err)
		if !p.Paused || p.PauseRemaining < 59*time.Minute {
			t.Errorf("paused for an hour: %+v", p)
		}
		s.kill9AndRestart()
		js = newJS(t, s.connect())
		c, err = js.Consumer(ctx, "S", "c")
		check(t, err)
		if !c.CachedInfo().Paused {
			t.Error("a restart ended the pause")
		}
		if m, err := c.Next(jetstream.FetchMaxWait(200 * time.Millisecond)); err == nil {
			t.Errorf("a paused consumer delivered %q", m.Data())
		}
		until := time.Now().Add(time.Second)
		_, err = js.PauseConsumer(ctx, "S", "c", until)
		check(t, err)
		m, err := c.Next(jetstream.FetchMaxWait(20 * time.Second))
		check(t, err)
		if string(m.Data()) != "x" || time.Now().Before(until) {
			t.Errorf("%q came %v before the end of the pause", m.Data(), time.Until(until))
		}
		r, err := js.ResumeConsumer(ctx, "S", "c")
		check(t, err)
		if r.Paused {
			t.Error("resumed and paused")
		}
	})
}
