package flight_test

import (
	"reflect"
	"testing"

	"clpipe/batch/flight"
)

// FuzzTicket reads tickets: what is accepted survives being written.
func FuzzTicket(f *testing.F) {
	for _, text := range []string{`{"stream":"pairs"}`, `{"stream":"images","epochs":0,"from":"2:4096","rank":1,"world":4}`, `{"stream":"pairs","world":9}`, `{}`, `[`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		ticket, err := flight.ParseTicket(text)
		if err != nil {
			return
		}
		if again, err := flight.ParseTicket(ticket.Bytes()); err != nil || !reflect.DeepEqual(again, ticket) {
			t.Errorf("%q: %+v became %+v, %v", text, ticket, again, err)
		}
	})
}
