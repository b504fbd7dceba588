//go:build linux

package admin_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"rstserver/internal/lingertest"
	"rstserver/linger"
	"rstserver/poller"
	"rstserver/poller/admin"
)

// ordered serves orders that end as answers says.
func ordered(t *testing.T, answers <-chan error) (url string, log *lingertest.Output) {
	t.Helper()
	log = new(lingertest.Output)
	over := make(chan struct{})
	close(over)
	server := httptest.NewServer(admin.New(admin.Options{
		Server: func() *poller.Server { return new(poller.Server) },
		Logger: slog.New(slog.NewTextHandler(log, nil)),
		Order:  func(linger.Mode, string) (<-chan struct{}, error) { return over, <-answers },
		Result: func() (linger.Report, int) { return linger.Report{Mode: linger.ModeHandover}, 0 },
	}))
	t.Cleanup(server.Close)
	return server.URL, log
}

// An order that takes its time, as the start of a successor does, shows at once that it is under way.
func TestOrderTakesTime(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"done", nil, `"exit":0`},
		{"refused", errors.New("handover: the successor has died"), `"error":"handover: the successor has died"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answers := make(chan error)
			url, log := ordered(t, answers)
			res, err := http.Post(url+"/handover", "", nil) // returns with the head of the answer
			lingertest.Must(t, err)
			defer res.Body.Close()
			lines := bufio.NewReader(res.Body)
			first, err := lines.ReadString('\n')
			var p struct{ State string }
			if err != nil || json.Unmarshal([]byte(first), &p) != nil || p.State != "starting" || res.StatusCode != 200 {
				t.Fatalf("%s begins with %q, %v", res.Status, first, err)
			}
			answers <- tt.err
			rest, err := io.ReadAll(lines)
			if err != nil || !strings.Contains(string(rest), tt.want) {
				t.Errorf("it goes on with %q, %v, want %s", rest, err, tt.want)
			}
			if got := strings.Count(log.String(), `msg="handover refused" audit=true`); got != map[bool]int{true: 1}[tt.err != nil] {
				t.Errorf("the audit lines:\n%s", log.String())
			}
		})
	}
}

// An order without effect is refused by status, and the log has who asked, for what, and why it was refused.
func TestOrderRefused(t *testing.T) {
	answers := make(chan error, 1)
	answers <- errors.New("drain: it has no effect during a drain")
	url, log := ordered(t, answers)
	res, err := http.Post(url+"/drain", "", nil)
	lingertest.Must(t, err)
	text, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if res.StatusCode != 409 || string(text) != `{"error":"drain: it has no effect during a drain"}`+"\n" {
		t.Errorf("%s: %s", res.Status, text)
	}
	if want := `msg="drain refused" audit=true remote=unknown reason="drain: it has no effect during a drain"`; !strings.Contains(log.String(), want) {
		t.Errorf("the log lacks %s:\n%s", want, log.String())
	}
}
