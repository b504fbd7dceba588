package main

import (
	"crypto/tls"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"rstserver/internal/lingertest"
)

// TestRenewal changes the files, and nothing else.
func TestRenewal(t *testing.T) {
	t.Parallel()
	old, renewed := issue(t, nil, "a.test"), issue(t, nil, "a.test")
	files := put(t, old)
	p := start(t, files.flags()...)
	kept := dialTLS(t, p, trusting("a.test", old))
	kept.expectHello()
	files.replace(t, renewed)
	lingertest.Wait(t, "the renewed certificate is shown", func() bool { return shown(t, p, "a.test").Equal(renewed.Leaf) })
	p.waitLog("level=INFO", `"certificate renewed"`, files.cert, "[a.test]", "not_after="+renewed.Leaf.NotAfter.Format("2006-01-02T15:04:05"))
	kept.expectHello()
	p.stop()
	kept.expectReset()
	expectFree(t, p.addr)
}

// TestRenewalBySignal replaces files by some that look as before: only who reads them sees that they are not.
func TestRenewalBySignal(t *testing.T) {
	old, renewed := issue(t, nil, "a.test"), issue(t, nil, "a.test")
	files := put(t, old)
	for size := fileSize(t, files.cert); ; renewed = issue(t, nil, "a.test") { // some are a byte or two longer
		if cert, _ := pemOf(t, renewed); int64(len(cert)) == size {
			break
		}
	}
	p := start(t, files.flags()...)
	kept := dialTLS(t, p, trusting("a.test", old))
	kept.expectHello()
	cert, key := pemOf(t, renewed)
	overwrite(t, files.cert, cert)
	overwrite(t, files.key, key)
	p.signal(syscall.SIGHUP)
	p.waitLog("level=INFO", "looked at again", "reason=SIGHUP")
	if !shown(t, p, "a.test").Equal(renewed.Leaf) {
		t.Error("the old certificate is shown")
	}
	p.waitLog("level=INFO", `"certificate renewed"`, files.cert)
	kept.expectHello()
	p.stop()
	kept.expectReset()
}

func fileSize(t testing.TB, name string) int64 {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// overwrite changes what is in a file, and sets its time back.
func overwrite(t testing.TB, name string, content []byte) {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Close(), os.Chtimes(name, info.ModTime(), info.ModTime())); err != nil {
		t.Fatal(err)
	}
}

// TestRefusedRenewal renews with a pair that does not belong together, which is logged by itself and on SIGHUP, and mends it.
func TestRefusedRenewal(t *testing.T) {
	t.Parallel()
	old, renewed := issue(t, nil, "a.test"), issue(t, nil, "a.test")
	files := put(t, old)
	p := start(t, files.flags()...)
	_, key := pemOf(t, renewed)
	if err := os.WriteFile(files.key, key, 0o600); err != nil {
		t.Fatal(err)
	}
	why := files.key + " is not the key of the certificate in " + files.cert
	p.waitLog("level=ERROR", "certificate not renewed", why)
	if !shown(t, p, "a.test").Equal(old.Leaf) {
		t.Error("the old certificate is not shown any more")
	}
	p.signal(syscall.SIGHUP)
	p.waitLog("level=ERROR", "reason=SIGHUP", why)
	if !shown(t, p, "a.test").Equal(old.Leaf) {
		t.Error("the old certificate is not shown any more")
	}
	files.replace(t, renewed)
	lingertest.Wait(t, "the renewed certificate is shown", func() bool { return shown(t, p, "a.test").Equal(renewed.Leaf) })
	p.stop()
	if n := p.stderr.count(why); n != 2 {
		t.Errorf("the fault is logged %d times, want once by itself and once for the signal", n)
	}
}

// TestHangup sends SIGHUP to a server without files, which goes on.
func TestHangup(t *testing.T) {
	p := start(t)
	c := dial(t, p.addr)
	c.expectHello()
	p.signal(syscall.SIGHUP)
	p.waitLog("level=INFO", "signal without effect", "signal=SIGHUP")
	c.expectHello()
	p.stop()
	c.expectReset()
}

// TestRenewalUnderLoad renews while clients ask all the time, on kept and on new connections. None of them may see anything of it but
// the certificate.
func TestRenewalUnderLoad(t *testing.T) {
	all := []tls.Certificate{issue(t, nil, "a.test"), issue(t, nil, "a.test")}
	files := put(t, all[0])
	p := start(t, files.flags()...)
	config := trusting("a.test", all...)
	var stop atomic.Bool
	var requests, failed atomic.Int64
	var seen [2]atomic.Int64 // certificates, by full handshakes
	pause := time.Duration(lingertest.Times(int(8*shortPause), 0))
	do := func(c *tlsClient) {
		time.Sleep(pause)
		requests.Add(1)
		if body, err := c.do(head("POST", "/echo", "Content-Length: 4") + "echo"); body != "echo" || err != nil {
			failed.Add(1)
			t.Errorf("POST /echo = %q, %v", body, err)
		}
	}
	var workers sync.WaitGroup
	for range 3 {
		kept := dialTLS(t, p, config)
		workers.Go(func() {
			for !stop.Load() && failed.Load() == 0 {
				do(kept)
			}
		})
		workers.Go(func() {
			for !stop.Load() && failed.Load() == 0 {
				c, err := tls.Dial("tcp", p.addr.String(), config)
				if err != nil {
					failed.Add(1)
					t.Errorf("a new connection: %v", err)
					return
				}
				for i, cert := range all {
					if c.ConnectionState().PeerCertificates[0].Equal(cert.Leaf) {
						seen[i].Add(1)
					}
				}
				do(newTLSClient(t, c))
				c.NetConn().(interface{ SetLinger(int) error }).SetLinger(0) // so that no TIME_WAIT is left
				c.NetConn().Close()
			}
		})
	}
	times := lingertest.Times(3, 60)
	for i := range times {
		next := (i + 1) % 2
		files.replace(t, all[next])
		if i%3 > 0 { // the others are seen by themselves
			p.signal(syscall.SIGHUP)
		}
		lingertest.Wait(t, "the renewal is logged", func() bool { return p.stderr.count(`"certificate renewed"`) == i+1 || failed.Load() > 0 })
		before := seen[next].Load()
		lingertest.Wait(t, "a new connection sees it", func() bool { return seen[next].Load() > before || failed.Load() > 0 })
	}
	stop.Store(true)
	workers.Wait()
	t.Logf("%d requests, %d failed; %d and %d full handshakes with the two certificates", requests.Load(), failed.Load(), seen[0].Load(), seen[1].Load())
	p.stop()
}
