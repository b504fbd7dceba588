//go:build linux

package inside

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
)

// A client's frame becomes the server's, whatever its mask and the form of its length, and what is behind it stays; one that is cut is none.
func TestBare(t *testing.T) {
	for _, n := range []int{0, 1, 5, 125, 126, 65535, 65536} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			payload := bytes.Repeat([]byte("abc"), n)[:n]
			var length []byte
			short := byte(n)
			switch {
			case n >= 1<<16:
				short, length = 127, binary.BigEndian.AppendUint64(nil, uint64(n))
			case n >= 126:
				short, length = 126, binary.BigEndian.AppendUint16(nil, uint16(n))
			}
			mask := []byte{1, 2, 3, 4}
			in := append(append([]byte{0x82, 0x80 | short}, length...), mask...)
			for i, c := range payload {
				in = append(in, c^mask[i%4])
			}
			want := append(append([]byte{0x82, short}, length...), payload...)
			for _, cut := range []int{0, 1, 2, 5, len(in) - 1} {
				if frame, _ := bare(bytes.Clone(in[:cut])); frame != nil && cut < len(in) {
					t.Errorf("%d of %d bytes are a frame of %d", cut, len(in), len(frame))
				}
			}
			frame, rest := bare(append(bytes.Clone(in), "behind"...))
			if !bytes.Equal(frame, want) || string(rest) != "behind" {
				t.Errorf("got %.40q and %q, want %.40q and what is behind", frame, rest, want)
			}
		})
	}
}
