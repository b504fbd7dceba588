//go:build linux

package bench_test

import (
	"context"
	"fmt"
	"os"

	"rstserver/bench"
	"rstserver/bench/kinds"
)

// The floor and the clients are this program, started again. So the first that its main function does is
//
//	if helped, err := bench.Helper(os.Args[1:]); helped {
//		...
//	}
func ExampleComparison() {
	program, err := os.Executable()
	if err != nil {
		fmt.Println(err)
		return
	}
	servers, err := bench.NewRoster(program, "", "").Pick([]string{"floor", "floor-linger", "floor-kill"})
	if err != nil {
		fmt.Println(err)
		return
	}
	idle, err := kinds.ParseShares("idle")
	if err != nil {
		fmt.Println(err)
		return
	}
	c := bench.Comparison{
		Servers: servers, // and bench.Server{Name: "mine", Command: []string{"./mine", "--port={port}"}, Signal: syscall.SIGTERM, ...}
		N:       []int{100},
		Shares:  []kinds.Shares{idle},
		Runs:    1,
	}
	doc, err := c.Measure(context.Background())
	for _, cell := range doc.Cells {
		fmt.Println(cell.Server, cell.N, cell.Mix, cell.Runs[0].Endings)
	}
	fmt.Println(len(doc.Failed), "failed,", err) // doc.Text(os.Stdout) says all of it
	// Output:
	// floor 100 idle map[reset:100]
	// floor linger 100 idle map[reset:100]
	// floor kill -9 100 idle map[reset:100]
	// 0 failed, <nil>
}
