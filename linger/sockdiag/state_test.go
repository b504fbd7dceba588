package sockdiag

import (
	"encoding/json"
	"testing"
)

func TestStateText(t *testing.T) {
	tests := []struct {
		state        State
		text, inJSON string
	}{
		{Unknown, "UNKNOWN", "unknown"},
		{Established, "ESTABLISHED", "established"},
		{SynSent, "SYN_SENT", "syn_sent"},
		{SynRecv, "SYN_RECV", "syn_recv"},
		{FinWait1, "FIN_WAIT1", "fin_wait1"},
		{FinWait2, "FIN_WAIT2", "fin_wait2"},
		{TimeWait, "TIME_WAIT", "time_wait"},
		{Close, "CLOSE", "close"},
		{CloseWait, "CLOSE_WAIT", "close_wait"},
		{LastAck, "LAST_ACK", "last_ack"},
		{Listen, "LISTEN", "listen"},
		{Closing, "CLOSING", "closing"},
		{NewSynRecv, "NEW_SYN_RECV", "new_syn_recv"},
	}
	if len(tests) != len(Counts{}) {
		t.Fatalf("%d states tested, want %d", len(tests), len(Counts{}))
	}
	for i, tt := range tests {
		if int(tt.state) != i {
			t.Errorf("%v = %d, want %d", tt.state, tt.state, i)
		}
		if got := tt.state.String(); got != tt.text {
			t.Errorf("State(%d).String() = %q, want %q", i, got, tt.text)
		}
		b, err := tt.state.MarshalText()
		if string(b) != tt.inJSON || err != nil {
			t.Errorf("State(%d).MarshalText() = %q, %v, want %q", i, b, err, tt.inJSON)
		}
		for _, text := range []string{tt.text, tt.inJSON} {
			var got State
			if err := got.UnmarshalText([]byte(text)); err != nil || got != tt.state {
				t.Errorf("UnmarshalText(%q) = %v, %v, want %v", text, got, err, tt.state)
			}
		}
	}
	if got := State(200).String(); got != "UNKNOWN" {
		t.Errorf("State(200).String() = %q, want UNKNOWN", got)
	}
	for text, want := range map[string]State{"time-wait": TimeWait, "FIN-WAIT-2": FinWait2, "timewait": TimeWait} {
		var got State
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("UnmarshalText(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	got := Listen
	if err := got.UnmarshalText([]byte("half-open")); err == nil || got != Listen {
		t.Errorf("UnmarshalText(half-open) = %v, %v, want an error and LISTEN untouched", got, err)
	}
}

func TestCountsText(t *testing.T) {
	tests := []struct {
		name         string
		counts       Counts
		total        int
		text, inJSON string
	}{
		{"empty", Counts{}, 0, "none", `{}`},
		{"one", Counts{Listen: 1}, 1, "LISTEN 1", `{"listen":1}`},
		{"most frequent first", Counts{Established: 1, TimeWait: 3}, 4,
			"TIME_WAIT 3, ESTABLISHED 1", `{"established":1,"time_wait":3}`},
		{"kernel's order among equals", Counts{TimeWait: 2, Established: 2, Unknown: 2}, 6,
			"UNKNOWN 2, ESTABLISHED 2, TIME_WAIT 2", `{"unknown":2,"established":2,"time_wait":2}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.counts.Total(); got != tt.total {
				t.Errorf("Total() = %d, want %d", got, tt.total)
			}
			if got := tt.counts.String(); got != tt.text {
				t.Errorf("String() = %q, want %q", got, tt.text)
			}
			b, err := json.Marshal(tt.counts)
			if string(b) != tt.inJSON || err != nil {
				t.Errorf("json.Marshal() = %s, %v, want %s", b, err, tt.inJSON)
			}
			got := Counts{SynSent: 9}
			if err := json.Unmarshal(b, &got); err != nil || got != tt.counts {
				t.Errorf("json.Unmarshal(%s) = %v, %v, want %v", b, got, err, tt.counts)
			}
		})
	}
	got := Counts{SynSent: 9}
	if err := json.Unmarshal([]byte(`{"listen":1,"half-open":1}`), &got); err == nil || got != (Counts{SynSent: 9}) {
		t.Errorf("json.Unmarshal of an unknown state = %v, %v, want an error and the counts untouched", got, err)
	}
}

func TestCountsKeepUnknownStates(t *testing.T) {
	d := Dump{Sockets: []Socket{{State: 13}, {State: 255}, {State: Listen}}}
	if got, want := d.Count(), (Counts{Unknown: 2, Listen: 1}); got != want {
		t.Errorf("Count() = %v, want %v", got, want)
	}
}
