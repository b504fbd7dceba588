//go:build poll_opt

package engine

// The compiler prints this sentence as its error.
const _ int = "rstserver cannot be built with the tag poll_opt: gnet then takes the data of an epoll event for a pointer, where this package writes a descriptor number"
