package handover

import "errors"

var (
	// ErrNotReady is returned by HandOver before Ready has returned.
	ErrNotReady = errors.New("handover: this process is not ready itself")
	// ErrRunning is returned by HandOver while another is under way.
	ErrRunning = errors.New("handover: a successor is being started already")
	// ErrHandedOver is returned by HandOver when a successor has taken over.
	ErrHandedOver = errors.New("handover: a successor has taken over already")
	// ErrClosed is returned by what is called after Close, or was under way when that was called.
	ErrClosed = errors.New("handover: closed, since this process comes to its end")
	// ErrFirstProcess is returned by HandOver in a process that is the first of its PID namespace, as that of a container is.
	ErrFirstProcess = errors.New("handover: this process is the first (PID 1) of its container, with which a successor would end too: start it " +
		"below an init, as docker run --init and tini are, or shareProcessNamespace of Kubernetes")
)
