package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

// parameter is one that a query has to have: a number from low to high.
type parameter struct {
	name      string
	low, high int
}

// numbers returns the parameters of the request's query. Where one is not as it should be it answers, with an example of
// how to ask, and returns nil.
func numbers(w http.ResponseWriter, r *http.Request, example string, params ...parameter) []int {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		refuse(w, http.StatusBadRequest, "the query cannot be understood; write "+example)
		return nil
	}
	values := make([]int, len(params))
	for i, p := range params {
		n, err := strconv.Atoi(q.Get(p.name))
		if err != nil || n < p.low || n > p.high {
			refuse(w, http.StatusBadRequest,
				fmt.Sprintf("%s has to be a number from %d to %d; write %s", p.name, p.low, p.high, example))
			return nil
		}
		values[i] = n
	}
	return values
}

// refuse answers as Responder.Error does.
func refuse(w http.ResponseWriter, status int, text string) {
	http.Error(w, fmt.Sprintf("%d %s", status, text), status)
}
