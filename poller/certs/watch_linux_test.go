//go:build linux

package certs_test

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rstserver/internal/lingertest"
	"rstserver/poller/certs"
)

// settle is what Watch waits for after a change.
const settle = 250 * time.Millisecond

// watching watches a store for the test, which is in a bubble: its clock goes on when all wait.
func watching(t *testing.T, s *certs.Store) (log *lingertest.Output) {
	log = new(lingertest.Output)
	s.Logger = slog.New(slog.NewTextHandler(log, nil))
	go s.Watch(t.Context())
	synctest.Wait()
	return log
}

// after lets time pass.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// expectLog expects so many lines with each of these, and no others.
func expectLog(t *testing.T, log *lingertest.Output, want map[string]int) {
	t.Helper()
	all := 0
	for part, n := range want {
		all += n
		if got := strings.Count(log.String(), part); got != n {
			t.Errorf("%q is logged %d times, want %d", part, got, n)
		}
	}
	if got := strings.Count(log.String(), "\n"); got != all {
		t.Errorf("%d lines are logged, want %d", got, all)
	}
	if t.Failed() {
		t.Logf("log:\n%s", log.String())
	}
}

const (
	isRenewed  = `level=INFO msg="certificate renewed"`
	isRefused  = `level=ERROR msg="certificate not renewed, the one in use stays"`
	isWell     = `level=INFO msg="certificate files are in order again`
	hasExpired = `level=WARN msg="certificate has expired`
	isEarly    = `level=WARN msg="certificate is not valid yet`
)

// TestWatch replaces files in the ways in which it is done. Each is seen within two looks.
func TestWatch(t *testing.T) {
	for _, tc := range []struct {
		name string
		// layout makes the pair what cert is, and returns what makes it another one.
		layout func(t *testing.T, dir string, cert tls.Certificate) (p certs.Pair, change func(tls.Certificate))
	}{
		{"rename", func(t *testing.T, dir string, cert tls.Certificate) (certs.Pair, func(tls.Certificate)) {
			p := pairIn(dir)
			put(t, p, cert)
			return p, func(cert tls.Certificate) { put(t, p, cert) }
		}},
		{"in place", func(t *testing.T, dir string, cert tls.Certificate) (certs.Pair, func(tls.Certificate)) {
			p := pairIn(dir)
			put(t, p, cert)
			return p, func(cert tls.Certificate) {
				write(t, p.Cert, certPEM(cert))
				write(t, p.Key, keyPEM(t, cert))
			}
		}},
		{"one file", func(t *testing.T, dir string, cert tls.Certificate) (certs.Pair, func(tls.Certificate)) {
			name := filepath.Join(dir, "both.pem")
			change := func(cert tls.Certificate) { replace(t, name, append(keyPEM(t, cert), certPEM(cert)...)) }
			change(cert)
			return certs.Pair{Cert: name, Key: name}, change
		}},
		// A directory for each version, to which ..data leads, to which the files lead.
		{"Kubernetes", func(t *testing.T, dir string, cert tls.Certificate) (certs.Pair, func(tls.Certificate)) {
			p, data := pairIn(dir), filepath.Join(dir, "..data")
			change := func(cert tls.Certificate) {
				version, err := os.MkdirTemp(dir, "..2026_")
				must(t, err)
				put(t, pairIn(version), cert)
				before, _ := os.Readlink(data)
				must(t, os.Symlink(filepath.Base(version), data+"_tmp"))
				must(t, os.Rename(data+"_tmp", data))
				if before != "" {
					must(t, os.RemoveAll(filepath.Join(dir, before)))
				}
			}
			change(cert)
			for _, name := range []string{p.Cert, p.Key} {
				must(t, os.Symlink("..data/"+filepath.Base(name), name))
			}
			return p, change
		}},
		// live/NAME leads to archive/NAMEn, one link after the other.
		{"certbot", func(t *testing.T, dir string, cert tls.Certificate) (certs.Pair, func(tls.Certificate)) {
			live := filepath.Join(dir, "live")
			must(t, os.Mkdir(live, 0o700))
			p := pairIn(live)
			change := func(cert tls.Certificate) {
				archive, err := os.MkdirTemp(dir, "archive")
				must(t, err)
				put(t, pairIn(archive), cert)
				for _, name := range []string{p.Key, p.Cert} {
					if err := os.Remove(name); err != nil && !os.IsNotExist(err) {
						t.Fatal(err)
					}
					must(t, os.Symlink("../"+filepath.Base(archive)+"/"+filepath.Base(name), name))
				}
			}
			change(cert)
			return p, change
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				cert := issue(t, nil, "a.test")
				p, change := tc.layout(t, dir, cert)
				s, err := certs.Load(p)
				must(t, err)
				log := watching(t, s)
				for i := range 5 {
					after(certs.Interval)
					expectUse(t, s, cert)
					cert = issue(t, nil, "a.test")
					change(cert)
					after(certs.Interval + settle)
					expectUse(t, s, cert)
					expectLog(t, log, map[string]int{isRenewed: i + 1})
				}
				after(10 * certs.Interval)
				expectLog(t, log, map[string]int{isRenewed: 5})
				for _, want := range []string{"file=" + p.Cert, "names=[a.test]", "not_after=" + cert.Leaf.NotAfter.Format("2006-01-02T15:04:05")} {
					if !strings.Contains(log.String(), want) {
						t.Errorf("log = %s\nwant %s in it", log.String(), want)
					}
				}
			})
		})
	}
}

// TestWatchSinceLoad makes a change between Load and Watch.
func TestWatchSinceLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, pairs := store(t, issue(t, nil, "a.test"))
		renewed := issue(t, nil, "a.test")
		put(t, pairs[0], renewed)
		log := watching(t, s)
		after(settle)
		expectUse(t, s, renewed)
		expectLog(t, log, map[string]int{isRenewed: 1})
	})
}

// TestWatchSeveral renews one pair of two, and breaks one.
func TestWatchSeveral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, pairs := store(t, issue(t, nil, "a.test"), issue(t, nil, "b.test"))
		log := watching(t, s)
		must(t, os.Remove(pairs[0].Key))
		put(t, pairs[1], issue(t, nil, "b.test"))
		after(10 * certs.Interval)
		expectLog(t, log, map[string]int{isRenewed + " file=" + pairs[1].Cert: 1, isRefused + " file=" + pairs[0].Cert: 1})
	})
}

// TestHalfWritten watches a certificate that is written in two parts with a look between them. The first is a certificate that belongs
// to the key, but lacks what leads to it.
func TestHalfWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := issue(t, nil, "a.test")
		s, pairs := store(t, old)
		log := watching(t, s)
		renewed := sign(t, old.PrivateKey.(crypto.Signer), nil, "a.test") // which is often so
		whole := chainOf(renewed, issue(t, anAuthority, "authority.test"))
		after(certs.Interval - settle/2)
		write(t, pairs[0].Cert, certPEM(renewed))
		after(settle) // and a look
		expectUse(t, s, old)
		write(t, pairs[0].Cert, certPEM(whole))
		after(settle / 2) // and another
		expectUse(t, s, old)
		after(settle)
		expectUse(t, s, whole)
		expectLog(t, log, map[string]int{isRenewed: 1})
	})
}

// TestOneAfterTheOther replaces the key after the certificate, with looks between them. That is nothing to complain of.
func TestOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, renewed := issue(t, nil, "a.test"), issue(t, nil, "a.test")
		s, pairs := store(t, old)
		log := watching(t, s)
		after(certs.Interval / 2)
		replace(t, pairs[0].Cert, certPEM(renewed))
		after(certs.Interval)
		expectUse(t, s, old)
		replace(t, pairs[0].Key, keyPEM(t, renewed))
		after(certs.Interval + settle)
		expectUse(t, s, renewed)
		expectLog(t, log, map[string]int{isRenewed: 1})
	})
}

// TestEverNew watches files that are never left alone for long, and so are taken in between.
func TestEverNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, pairs := store(t, issue(t, nil, "a.test"))
		log := watching(t, s)
		for range 60 {
			put(t, pairs[0], issue(t, nil, "a.test"))
			after(time.Second)
		}
		if n := strings.Count(log.String(), isRenewed); n < 20 {
			t.Errorf("%d renewals in a minute, want one for each look or so\n%s", n, log.String())
		}
	})
}

// TestFaults expects each fault to be logged once, and again when it comes again.
func TestFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, renewed := issue(t, nil, "a.test"), issue(t, nil, "a.test")
		s, pairs := store(t, old)
		log := watching(t, s)
		p := pairs[0]
		const long = 100 * certs.Interval
		want := map[string]int{}
		expect := func(cert tls.Certificate, more string) {
			t.Helper()
			after(long)
			want[more]++
			expectUse(t, s, cert)
			expectLog(t, log, want)
		}
		refused := func(why string) string { return isRefused + " file=" + p.Cert + ` error="certs: ` + why }

		must(t, os.Rename(p.Key, p.Key+".away"))
		expect(old, refused("stat "+p.Key+": no such file"))
		must(t, os.Rename(p.Key+".away", p.Key))
		expect(old, isWell)
		must(t, os.Rename(p.Key, p.Key+".away"))
		expect(old, refused("stat "+p.Key+": no such file"))
		replace(t, p.Cert, certPEM(renewed)) // the fault is the same
		after(long)
		expectLog(t, log, want)
		replace(t, p.Key, keyPEM(t, old))
		expect(old, refused(p.Key+" is not the key of the certificate in "+p.Cert))
		write(t, p.Cert, nil)
		expect(old, refused(p.Cert+" is empty"))
		put(t, p, renewed)
		expect(renewed, isRenewed)
		must(t, os.Remove(p.Cert))
		expect(renewed, refused("stat "+p.Cert+": no such file"))
		// What Reload has told need not be told again.
		write(t, p.Cert, []byte("nothing"))
		if err := s.Reload(); err == nil || !strings.Contains(err.Error(), p.Cert+" holds no certificate") {
			t.Errorf("Reload() = %v, want what is wrong", err)
		}
		after(long)
		expectLog(t, log, want)
		// The same certificate in another file.
		replace(t, p.Cert, certPEM(renewed))
		expect(renewed, isWell)
	})
}

// TestDates watches certificates that are in use and not valid. Each is logged once.
func TestDates(t *testing.T) {
	until := func(d time.Duration) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.NotAfter = time.Now().Add(d) }
	}
	synctest.Test(t, func(t *testing.T) {
		s, pairs := store(t, issue(t, until(-time.Minute), "a.test"))
		log := watching(t, s)
		after(time.Hour)
		expectLog(t, log, map[string]int{hasExpired: 1})
		put(t, pairs[0], issue(t, until(time.Hour), "a.test"))
		after(59 * time.Minute)
		expectLog(t, log, map[string]int{hasExpired: 1, isRenewed: 1})
		after(time.Hour)
		expectLog(t, log, map[string]int{hasExpired: 2, isRenewed: 1})
		put(t, pairs[0], issue(t, until(-time.Minute), "a.test"))
		after(time.Hour)
		expectLog(t, log, map[string]int{hasExpired: 3, isRenewed: 2})
		early := issue(t, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }, "a.test")
		put(t, pairs[0], early)
		after(2 * time.Hour)
		expectUse(t, s, early)
		expectLog(t, log, map[string]int{hasExpired: 3, isRenewed: 3, isEarly: 1})
	})
}

// TestWatchEnds expects Watch to return with its context. That it leaves nothing behind is seen by the end of the bubble.
func TestWatchEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, pairs := store(t, issue(t, nil, "a.test"))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan time.Time, 1)
		go func() {
			s.Watch(ctx)
			ended <- time.Now()
		}()
		after(certs.Interval / 2)
		cancel()
		if at := time.Now(); !(<-ended).Equal(at) {
			t.Error("Watch has not ended at once")
		}
		s.Watch(ctx) // that has ended
		// Reload still works.
		renewed := issue(t, nil, "a.test")
		put(t, pairs[0], renewed)
		s.Logger = slog.New(slog.DiscardHandler)
		must(t, s.Reload())
		expectUse(t, s, renewed)
	})
}
