//go:build linux

package bench

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Way is how a server is restarted: steps, one after the other.
type Way struct {
	Text  string // as it was written
	Steps []Step
}

// Step is a part of a Way.
type Step struct {
	Do      Deed
	Signal  syscall.Signal // of Tell and Stop
	Command []string       // of Exec
}

// Deed is what a Step does.
type Deed string

// The deeds. The old process is the one that was the server's main process when the restart began.
const (
	Tell  Deed = "signal" // sends a signal to the old process; a step behind it waits until there is a new one
	Stop  Deed = "stop"   // sends a signal to the old process, and waits until it has ended, with all that it has started
	Start Deed = "start"  // starts the server's command once more, and waits until it listens
	Exec  Deed = "exec"   // runs a command, and waits until it has ended
)

// wayUsage says what ParseWay takes.
const wayUsage = "steps are signal=SIGNAL, stop=SIGNAL, start and exec=COMMAND, with commas between: signal=USR2; stop=TERM,start; start,stop=TERM; exec=CMD"

// ParseWay reads a Way: "signal=USR2", "stop=TERM,start", "start,stop=TERM", "exec=CMD". A comma belongs to the command of exec unless
// another step comes behind it. split takes a command apart as a shell does. The error names
// the step that is wrong, and those that there are.
func ParseWay(s string, split func(string) ([]string, error)) (Way, error) {
	w := Way{Text: s}
	var exec *string
	flush := func() error {
		if exec == nil {
			return nil
		}
		words, err := split(*exec)
		if err != nil || len(words) == 0 {
			return errors.Join(fmt.Errorf("exec=%s: it needs a command: %s", *exec, wayUsage), err)
		}
		w.Steps = append(w.Steps, Step{Do: Exec, Command: words})
		exec = nil
		return nil
	}
	for part := range strings.SplitSeq(s, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		step := Step{Do: Deed(name)}
		switch {
		case step.Do == Start && value == "":
		case step.Do == Tell || step.Do == Stop:
			var err error
			if value == "" {
				return w, fmt.Errorf("%q needs a signal, as in %s=TERM: %s", part, name, wayUsage)
			}
			if step.Signal, err = ParseSignal(value); err != nil {
				return w, err
			}
		case step.Do == Exec:
			if err := flush(); err != nil {
				return w, err
			}
			command := value
			exec = &command
			continue
		case exec != nil:
			*exec += "," + part
			continue
		default:
			return w, fmt.Errorf("%q is no step of a restart: %s", part, wayUsage)
		}
		if err := flush(); err != nil {
			return w, err
		}
		w.Steps = append(w.Steps, step)
	}
	if err := flush(); err != nil {
		return w, err
	}
	if !w.has(Tell) && !w.has(Stop) && !w.has(Exec) {
		return w, fmt.Errorf("nothing in it ends the old process: stop=TERM,start does before there is a new one, and start,stop=TERM behind that")
	}
	return w, nil
}

// has reports whether one of the steps does that.
func (w Way) has(do Deed) bool {
	for _, s := range w.Steps {
		if s.Do == do {
			return true
		}
	}
	return false
}

// startless is what may be wrong when there is no new process.
func (w Way) startless() string {
	if w.has(Start) {
		return ""
	}
	return "; if nothing else starts one, a step start does: " + w.Text + ",start"
}

// ParseSignal takes the name of a signal, with or without SIG, or its number. The error names what is neither.
func ParseSignal(s string) (syscall.Signal, error) {
	var n int
	if _, err := fmt.Sscanf(s, "%d", &n); err == nil && unix.SignalName(syscall.Signal(n)) != "" && fmt.Sprint(n) == s {
		return syscall.Signal(n), nil
	}
	name := strings.ToUpper(s)
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if sig := unix.SignalNum(name); sig != 0 {
		return sig, nil
	}
	return 0, fmt.Errorf("signal=%s: no signal is called that; TERM, INT, QUIT, HUP, USR1, USR2 and KILL are some", s)
}

// Explained is a deed for the help.
type Explained struct{ Usage, About string }

// Deeds are all deeds, explained.
func Deeds() []Explained {
	return []Explained{
		{"signal=SIGNAL", "sends a signal to the main process. A step behind it waits until there is a new one."},
		{"stop=SIGNAL", "sends a signal to what was the main process when the restart began, and waits until it has ended, with all that it has started."},
		{"start", "starts the command once more, and waits until it listens. As the first step it has the arguments of share= with it, and so has the one before."},
		{"exec=COMMAND", "runs a command, and waits until it has ended. {pid} in it is the main process, {dir} and {pidfile} are as in the server's command."},
	}
}

// StartsBeside reports whether another process is started while the old one serves.
func (w Way) StartsBeside() bool { return len(w.Steps) > 0 && w.Steps[0].Do == Start }
