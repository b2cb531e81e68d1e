package clients

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

type batchAck struct {
	Stream string `json:"stream"`
	Seq    uint64 `json:"seq"`
	Batch  string `json:"batch"`
	Count  int    `json:"count"`
	Error  *struct {
		Code uint16 `json:"err_code"`
		Text string `json:"description"`
	} `json:"error"`
}

// The client library's stream configuration may be older than batches: the request is written by hand.
func createBatchStream(t *testing.T, nc *nats.Conn, name, more string) {
	t.Helper()
	m, err := nc.Request("$JS.API.STREAM.CREATE."+name, []byte(fmt.Sprintf(`{"name":%q,"subjects":["%s.>"],"allow_atomic":true,"allow_batched":true%s}`, name, strings.ToLower(name), more)), 10*time.Second)
	check(t, err)
	if !strings.Contains(string(m.Data), `"allow_atomic":true,"allow_batched":true`) {
		t.Fatalf("created as %s", m.Data)
	}
}

func batchMsg(subject, id string, seq int, commit string, data []byte) *nats.Msg {
	m := nats.NewMsg(subject)
	m.Header.Set("Nats-Batch-Id", id)
	m.Header.Set("Nats-Batch-Sequence", fmt.Sprint(seq))
	if commit != "" {
		m.Header.Set("Nats-Batch-Commit", commit)
	}
	m.Data = data
	return m
}

// publishBatch sends count messages "<id>/<i>/<filling>" and waits for what the commit answers.
func publishBatch(nc *nats.Conn, subject, id string, count, size int, wait time.Duration) (*batchAck, error) {
	filling := strings.Repeat("x", size)
	for i := 1; i < count; i++ {
		if err := nc.PublishMsg(batchMsg(subject, id, i, "", []byte(fmt.Sprintf("%s/%d/%s", id, i, filling)))); err != nil {
			return nil, err
		}
	}
	m, err := nc.RequestMsg(batchMsg(subject, id, count, "1", []byte(fmt.Sprintf("%s/%d/%s", id, count, filling))), wait)
	if err != nil {
		return nil, err
	}
	a := new(batchAck)
	return a, json.Unmarshal(m.Data, a)
}

func TestAtomicBatch(t *testing.T) {
	onShards(t, func(t *testing.T, s *server) {
		ctx := background(t)
		nc := s.connect()
		js := newJS(t, nc)
		createBatchStream(t, nc, "B", "")
		for i := 1; i <= 2; i++ {
			m, err := nc.RequestMsg(batchMsg("b.x", "one", i, "", nil), 5*time.Second)
			check(t, err)
			if len(m.Data) != 0 {
				t.Fatalf("message %d is answered %q", i, m.Data)
			}
		}
		st, err := js.Stream(ctx, "B")
		check(t, err)
		if n := st.CachedInfo().State.Msgs; n != 0 {
			t.Fatalf("%d messages of an open batch", n)
		}
		m, err := nc.RequestMsg(batchMsg("b.x", "one", 3, "eob", nil), 5*time.Second)
		check(t, err)
		if string(m.Data) != `{"stream":"B","seq":2,"batch":"one","count":2}` {
			t.Fatalf("acknowledged as %s", m.Data)
		}
		a, err := publishBatch(nc, "b.y", "two", 1000, 500, 10*time.Second)
		check(t, err)
		if a.Error != nil || a.Seq != 1002 || a.Count != 1000 || a.Batch != "two" {
			t.Fatalf("a thousand are acknowledged as %+v", a)
		}
		a, err = publishBatch(nc, "b.y", "three", 1001, 10, 10*time.Second)
		check(t, err)
		if a.Error == nil || a.Error.Code != 10199 {
			t.Fatalf("a thousand and one are acknowledged as %+v", a)
		}
		s.kill9AndRestart()
		all := readAll(t, ctx, newJS(t, s.connect()), "B")
		if len(all) != 1002 || !strings.HasPrefix(all[1002], "two/1000/") {
			t.Fatalf("%d messages, the last %.20q", len(all), all[1002])
		}
	})
}

// kill -9 again and again while batches of all sizes are committed by several publishers: each batch is there as a whole, in
// order, or not at all; each acknowledged one is, where its acknowledgement said.
func TestKill9InBatches(t *testing.T) {
	onShards(t, func(t *testing.T, s *server) {
		ctx := background(t)
		admin := s.connect()
		for i := 0; i < 2; i++ {
			createBatchStream(t, admin, fmt.Sprint("B", i), "")
		}
		var mu sync.Mutex
		size := map[string]int{}               // of every batch begun
		acked := map[string]uint64{}           // its last sequence
		where := map[string]string{}           // its stream
		sizes := []int{2, 7, 40, 300, 900}     // messages
		filling := []int{10, 200, 3000, 20000} // bytes: the large ones take many frames
		for round := 0; round < 4; round++ {
			stop := make(chan struct{})
			var wg sync.WaitGroup
			for p := 0; p < 4; p++ {
				nc := s.connect(nats.NoReconnect())
				wg.Add(1)
				go func() {
					defer wg.Done()
					defer nc.Close()
					for k := 0; ; k++ {
						select {
						case <-stop:
							return
						default:
						}
						id, count := fmt.Sprintf("r%dp%dk%d", round, p, k), sizes[(k+p)%len(sizes)]
						stream := fmt.Sprint("B", (k+p)%2)
						fill := filling[(k/2+p)%len(filling)]
						if count*fill > 6<<20 {
							fill = 6 << 20 / count
						}
						mu.Lock()
						size[id], where[id] = count, stream
						mu.Unlock()
						a, err := publishBatch(nc, strings.ToLower(stream)+".x", id, count, fill, 10*time.Second)
						if err != nil {
							return // killed
						}
						if a.Error != nil || a.Count != count || a.Batch != id {
							t.Errorf("%s of %d is acknowledged as %+v", id, count, a.Error)
							return
						}
						mu.Lock()
						acked[id] = a.Seq
						mu.Unlock()
					}
				}()
			}
			time.Sleep(time.Duration(300+170*round) * time.Millisecond)
			s.stop(9)
			close(stop)
			wg.Wait()
			s.start()
		}
		if len(acked) == 0 {
			t.Fatal("no batch was acknowledged at all")
		}
		js := newJS(t, s.connect())
		whole := 0
		for i := 0; i < 2; i++ {
			stream := fmt.Sprint("B", i)
			all := readAll(t, ctx, js, stream)
			for seq := uint64(1); seq <= uint64(len(all)); {
				id, _, _ := strings.Cut(all[seq], "/")
				n := size[id]
				if n == 0 || where[id] != stream {
					t.Fatalf("%s %d holds %.30q", stream, seq, all[seq])
				}
				for k := 1; k <= n; k++ {
					if !strings.HasPrefix(all[seq], fmt.Sprintf("%s/%d/", id, k)) {
						t.Fatalf("%s of %d: %s %d, its part %d, is %.30q of %d messages", id, n, stream, seq, k, all[seq], len(all))
					}
					seq++
				}
				if at, ok := acked[id]; ok && at != seq-1 {
					t.Fatalf("%s was acknowledged at %d and ends at %d", id, at, seq-1)
				}
				delete(acked, id)
				size[id] = 0 // once only
				whole++
			}
		}
		for id, seq := range acked {
			t.Errorf("%s, acknowledged at %d, is gone", id, seq)
		}
		t.Logf("%d whole batches", whole)
	})
}

// A fast batch through its reply subjects: flow messages, then one acknowledgement; what it covers survives kill -9.
func TestFastBatch(t *testing.T) {
	onShards(t, func(t *testing.T, s *server) {
		ctx := background(t)
		nc := s.connect()
		createBatchStream(t, nc, "F", "")
		sub, err := nc.SubscribeSync("_INBOX.fast.>")
		check(t, err)
		check(t, nc.Flush())
		const count = 5000
		for i := 1; i <= count; i++ {
			op := 1
			switch i {
			case 1:
				op = 0
			case count:
				op = 2
			}
			check(t, nc.PublishRequest("f.x", fmt.Sprintf("_INBOX.fast.id.100.fail.%d.%d.$FI", i, op), []byte(fmt.Sprint(i))))
		}
		last := -1
		for {
			m, err := sub.NextMsg(20 * time.Second)
			check(t, err)
			var flow struct {
				Type     string
				Seq, Msg int
			}
			check(t, json.Unmarshal(m.Data, &flow))
			if flow.Type == "" {
				if string(m.Data) != `{"stream":"F","seq":5000,"batch":"id","count":5000}` {
					t.Fatalf("acknowledged as %s", m.Data)
				}
				break
			}
			if flow.Type != "ack" || flow.Seq <= last {
				t.Fatalf("after %d: %s", last, m.Data)
			}
			last = flow.Seq
		}
		s.kill9AndRestart()
		all := readAll(t, ctx, newJS(t, s.connect()), "F")
		for i := uint64(1); i <= count; i++ {
			if all[i] != fmt.Sprint(i) {
				t.Fatalf("sequence %d holds %q", i, all[i])
			}
		}
	})
}
