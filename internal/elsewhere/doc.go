// Package elsewhere holds the tests that programs which use linger, linger/sockdiag and poller compile, and behave as the packages say, on
// systems other than Linux.
package elsewhere
