package linger

// Ending says what a teardown was to end, for [Verify].
type Ending struct {
	// Port is the local port.
	Port uint16
	// Connections holds the cookies of the connections that were to end (see [Sweep]). Verify sorts it, and Others.
	Connections []uint64
	// Listener is the inode of the listening socket that was given up (see [Inode]); 0 if there was none.
	Listener uint32
	// Shared announces that other processes may hold the listening socket: what they have is others' then. A descriptor of it in
	// this process is no other's all the same.
	Shared bool
	// Others holds cookies of sockets of this process that are others', as far as they are not among Connections.
	Others []uint64
}
