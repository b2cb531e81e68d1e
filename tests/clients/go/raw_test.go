package clients

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// raw speaks the protocol by hand, for what no client library would send.
type raw struct {
	t *testing.T
	c net.Conn
	r *bufio.Reader
}

func dialRaw(t *testing.T, s *server) *raw {
	t.Helper()
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
	check(t, err)
	t.Cleanup(func() { c.Close() })
	r := &raw{t, c, bufio.NewReaderSize(c, 1<<16)}
	r.expect("INFO ")
	return r
}

func (r *raw) send(text string) {
	r.t.Helper()
	_, err := io.WriteString(r.c, text)
	check(r.t, err)
}

func (r *raw) expect(prefix string) string {
	r.t.Helper()
	r.c.SetReadDeadline(time.Now().Add(5 * time.Second))
	for {
		line, err := r.r.ReadString('\n')
		if err != nil {
			r.t.Fatalf("waiting for %q: %v", prefix, err)
		}
		if strings.HasPrefix(line, prefix) {
			return strings.TrimRight(line, "\r\n")
		}
		if strings.HasPrefix(line, "-ERR") {
			r.t.Fatalf("waiting for %q: %s", prefix, line)
		}
	}
}

func (r *raw) expectClosed() {
	r.t.Helper()
	r.c.SetReadDeadline(time.Now().Add(20 * time.Second))
	_, err := io.Copy(io.Discard, r.r)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		r.t.Fatal("the connection stays open")
	}
}

// Bad bytes get the exact error, and cost nobody else anything.
func TestBadBytes(t *testing.T) {
	s := startServer(t)
	good := s.connect()
	for _, c := range []struct{ send, want string }{
		{"FOO\r\n", "-ERR 'Unknown Protocol Operation'"},
		{"CONNECT {}\r\nPUB a 3\r\nabcdef\r\n", "-ERR 'Unknown Protocol Operation'"},
		{"PUB a 2000000\r\n", "-ERR 'Maximum Payload Violation'"},
		{"PUB " + strings.Repeat("a", 5000) + " 1\r\n", "-ERR 'maximum control line exceeded'"},
		{"CONNECT {\"protocol\":5}\r\n", "-ERR 'invalid client protocol'"},
		{"CONNECT {\"no_responders\":true,\"headers\":false}\r\n", "-ERR 'no responders requires headers support'"},
	} {
		r := dialRaw(t, s)
		r.send(c.send)
		r.c.SetReadDeadline(time.Now().Add(5 * time.Second))
		all, _ := io.ReadAll(r.r)
		if !strings.Contains(string(all), c.want) {
			t.Errorf("%.40q: got %q, wants %q and a close", c.send, all, c.want)
		}
	}
	for _, silent := range []string{"SUB a\r\n", "CONNECT {bad\r\n", "HPUB a 5 3\r\n", "-ERR x\r\n"} {
		r := dialRaw(t, s)
		r.send(silent)
		r.expectClosed()
	}
	check(t, good.Flush())
}
