// Package fleet is what tests of linger.Listener under other people's servers have in common: servers, clients whose end is on
// record, the states that a connection can be in, and what has to be true of all of them when a port is given up.
package fleet
