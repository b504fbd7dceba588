// Package certs gives a server a renewed certificate without its letting go of anything: neither the port nor a connection.
// It fits every server that takes a [tls.Config], that of net/http too:
//
//	store, err := certs.Load(certs.Pair{Cert: "cert.pem", Key: "key.pem"})
//	if err != nil {
//		log.Fatal(err)
//	}
//	go store.Watch(ctx)
//	srv := &http.Server{TLSConfig: &tls.Config{GetCertificate: store.GetCertificate}}
//	log.Fatal(srv.ListenAndServeTLS("", ""))
//
// # What becomes of whom
//
// Connections live on, whatever certificate they began with. The next full handshake has the new one. A client that resumes a
// session is shown no certificate at all, so it may go on with what it knows for as long as it comes back: crypto/tls takes each
// ticket for up to a week, and gives out a new one then. That is as it should be where a certificate is renewed because it ends. Where its
// key has become known to others, a restart, or [tls.Config.SetSessionTicketKeys] with new keys, ends these sessions too.
//
// # Files
//
// They are what [tls.LoadX509KeyPair] takes: PEM, the server's own certificate first, and its key without a passphrase. As with
// that, no OCSP staple is in them; who wants one sets it in a copy of what [Store.GetCertificate] returns.
//
// Files may be replaced in any way: by rename(2), as a symbolic link to somewhere else, theirs or that of a directory
// on the way (the ..data of Kubernetes), or in place. What names a single file through a bind mount, as containers can have it, shows for
// ever the file that was there first: mount its directory. They are looked at by stat(2), not by inotify(7), which sees neither what
// happens on the other side of a network file system nor where the links on the way lead next.
package certs
