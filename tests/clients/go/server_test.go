// Tests of the server as users meet it: through the official Go client. SERVER names the executable; every test starts its
// own on a free port and an empty folder, and may kill it.
package clients

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

type server struct {
	t    *testing.T
	dir  string
	port int
	args []string
	cmd  *exec.Cmd
}

// shardCounts are what every test of storage and routing runs with.
var shardCounts = []int{1, 2, 4}

func isMillrace() bool { return strings.Contains(filepath.Base(os.Getenv("SERVER")), "millrace") }

func startServer(t *testing.T, args ...string) *server {
	t.Helper()
	if os.Getenv("SERVER") == "" {
		t.Fatal("SERVER names no executable")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	s := &server{t: t, dir: t.TempDir(), port: port, args: args}
	s.start()
	t.Cleanup(func() { s.stop(syscall.SIGKILL) })
	return s
}

func withShards(n int) []string {
	if isMillrace() {
		return []string{"--shards", fmt.Sprint(n)}
	}
	return nil
}

func (s *server) start() {
	s.t.Helper()
	args := append([]string{"-js", "-a", "127.0.0.1", "-p", fmt.Sprint(s.port), "-sd", filepath.Join(s.dir, "data")}, s.args...)
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	s.cmd = exec.Command(os.Getenv("SERVER"), args...)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < 600; i++ {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
		if err == nil {
			c.Close()
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Fatalf("the server does not accept connections:\n%s", s.log())
}

func (s *server) log() string {
	b, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	return string(b)
}

// stop ends the server with a signal and waits for it. The exit status matters to those who stop it in order.
func (s *server) stop(sig syscall.Signal) int {
	if s.cmd == nil {
		return 0
	}
	s.cmd.Process.Signal(sig)
	s.cmd.Wait()
	code := s.cmd.ProcessState.ExitCode()
	s.cmd = nil
	return code
}

func (s *server) kill9AndRestart() {
	s.t.Helper()
	s.stop(syscall.SIGKILL)
	s.start()
}

func (s *server) connect(opts ...nats.Option) *nats.Conn {
	s.t.Helper()
	opts = append([]nats.Option{nats.MaxReconnects(-1), nats.ReconnectWait(20 * time.Millisecond), nats.Timeout(5 * time.Second)}, opts...)
	nc, err := nats.Connect(fmt.Sprintf("nats://127.0.0.1:%d", s.port), opts...)
	if err != nil {
		s.t.Fatalf("%v\n%s", err, s.log())
	}
	s.t.Cleanup(nc.Close)
	return nc
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
