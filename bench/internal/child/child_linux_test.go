//go:build linux

package child

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
)

// parentVariable makes the test binary a process that has a child, and goes on until it is killed.
const parentVariable = "RSTSERVER_CHILD_PARENT"

func TestMain(m *testing.M) {
	if os.Getenv(parentVariable) != "" {
		cmd := exec.Command("sh", "-c", "echo started; exec sleep 60")
		cmd.Stdout = os.Stdout
		fmt.Fprintln(os.Stderr, Start(cmd, func() { _ = cmd.Wait() }))
		select {}
	}
	lingertest.Main(m)
}

// A child lives on when the thread ends that has it started.
func TestOutlivesTheThread(t *testing.T) {
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	echoed := make(chan string, 1)
	var thread int
	lingertest.OnThread(func() {
		thread = unix.Gettid()
		err = Start(cmd, func() {
			b, _ := io.ReadAll(out)
			_ = cmd.Wait()
			echoed <- string(b)
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	// By then the kernel has sent its children the signal.
	lingertest.Wait(t, "the end of the thread", func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", thread))
		return os.IsNotExist(err)
	})
	const said = "still there"
	_, err = io.WriteString(in, said)
	in.Close()
	if got := <-echoed; got != said || err != nil || !cmd.ProcessState.Success() {
		t.Errorf("it says %q, %v, and ends with %s; want %q", got, err, cmd.ProcessState, said)
	}
}

// A child ends with the process, even if that is killed.
func TestEndsWithTheProcess(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), parentVariable+"=1")
	parent.Stdout = w
	err = parent.Start()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	_ = r.SetReadDeadline(time.Now().Add(lingertest.Patience))
	out := bufio.NewReader(r)
	line, err := out.ReadString('\n')
	_ = parent.Process.Kill()
	_ = parent.Wait()
	if line != "started\n" || err != nil {
		t.Fatalf("the parent prints %q, %v", line, err)
	}
	// The child has the pipe's other end.
	if rest, err := io.ReadAll(out); len(rest) > 0 || err != nil {
		t.Errorf("behind that %q, %v, want the end", rest, err)
	}
}

// What cannot be started is an error, and nobody waits for it.
func TestStartFails(t *testing.T) {
	if err := Start(exec.Command("/no/such/program"), func() { t.Error("it is waited for") }); err == nil {
		t.Error("got no error")
	}
}
