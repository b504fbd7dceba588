// Package codec compares httpcodec with the parsers and writers of net/http and fasthttp on the same messages.
//
//	go test -bench . -count 6 ./codec >codec.txt
//	benchstat -col /impl codec.txt
package codec

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"rstserver/httpcodec"
)

// message is a request as it was understood. Fields are in the order of their names.
type message struct {
	method, target string
	fields         []field
	content        string
}

type field struct{ name, value string }

// parser reads one request, head and content, as often as it is asked to, and reuses what its library lets it reuse.
type parser interface {
	// parse reads input. What it then holds of the content is a copy.
	parse(input []byte) error
	// message is what parse has read last.
	message() message
}

var parsers = []struct {
	impl string
	make func() parser
}{
	{"rstserver", func() parser { return new(ours) }},
	{"nethttp", func() parser { return &netHTTP{in: bufio.NewReader(nil)} }},
	{"fasthttp", func() parser { return &fastHTTP{in: bufio.NewReader(nil)} }},
}

type ours struct {
	parser  httpcodec.Parser
	request httpcodec.Request
	decoder httpcodec.BodyDecoder
	content []byte
}

func (p *ours) parse(input []byte) error {
	n, err := p.parser.Parse(input, httpcodec.Limits{}, &p.request)
	if err != nil {
		return err
	}
	if n == 0 {
		return io.ErrUnexpectedEOF
	}
	p.content = p.content[:0]
	if !p.request.HasBody() {
		return nil
	}
	if err := p.decoder.Reset(&p.request, 0); err != nil {
		return err
	}
	for input = input[n:]; !p.decoder.Done(); input = input[n:] {
		if len(input) == 0 {
			return io.ErrUnexpectedEOF
		}
		var data []byte
		if data, n, err = p.decoder.Next(input); err != nil {
			return err
		}
		p.content = append(p.content, data...)
	}
	return nil
}

func (p *ours) message() message {
	m := message{method: string(p.request.Method), target: string(p.request.RequestTarget), content: string(p.content)}
	for _, f := range p.request.Fields {
		m.fields = append(m.fields, field{string(f.Name), string(f.Value)})
	}
	return m
}

// netHTTP cannot reuse requests.
type netHTTP struct {
	source  bytes.Reader
	in      *bufio.Reader
	request *http.Request
	content bytes.Buffer
}

func (p *netHTTP) parse(input []byte) (err error) {
	p.source.Reset(input)
	p.in.Reset(&p.source)
	if p.request, err = http.ReadRequest(p.in); err != nil {
		return err
	}
	p.content.Reset()
	_, err = p.content.ReadFrom(p.request.Body)
	return err
}

func (p *netHTTP) message() message {
	m := message{method: p.request.Method, target: p.request.RequestURI, content: p.content.String()}
	for name, values := range p.request.Header {
		for _, value := range values {
			m.fields = append(m.fields, field{name, value})
		}
	}
	// Two have left the header for fields of the request.
	m.fields = append(m.fields, field{"Host", p.request.Host})
	for _, coding := range p.request.TransferEncoding {
		m.fields = append(m.fields, field{"Transfer-Encoding", coding})
	}
	return m
}

type fastHTTP struct {
	source  bytes.Reader
	in      *bufio.Reader
	request fasthttp.Request
}

func (p *fastHTTP) parse(input []byte) error {
	p.source.Reset(input)
	p.in.Reset(&p.source)
	return p.request.Read(p.in)
}

func (p *fastHTTP) message() message {
	header := &p.request.Header
	m := message{method: string(header.Method()), target: string(header.RequestURI()), content: string(p.request.Body())}
	for name, value := range header.AllInOrder() {
		m.fields = append(m.fields, field{string(name), string(value)})
	}
	return m
}

// TestParsers has each of them understand the same of each input.
func TestParsers(t *testing.T) {
	for _, in := range requests {
		for _, p := range parsers {
			t.Run(in.name+"/"+p.impl, func(t *testing.T) {
				parser := p.make()
				for range 2 { // the second time with what is reused
					if err := parser.parse(in.bytes()); err != nil {
						t.Fatal(err)
					}
					got := parser.message()
					slices.SortFunc(got.fields, func(a, b field) int { return strings.Compare(a.name, b.name) })
					if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", in.message) {
						t.Fatalf("it understands\n%q, want\n%q", got, in.message)
					}
				}
			})
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for _, in := range requests {
		for _, p := range parsers {
			b.Run("input="+in.name+"/impl="+p.impl, func(b *testing.B) {
				parser, input := p.make(), in.bytes()
				b.SetBytes(int64(len(input)))
				b.ReportAllocs()
				for b.Loop() {
					if err := parser.parse(input); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
