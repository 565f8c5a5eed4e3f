package flight

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"clpipe/batch"
)

// Ticket is what a consumer asks for.
type Ticket struct {
	Stream string `json:"stream"`
	// Epochs is how many epochs there are in all; 0 goes on until the consumer
	// leaves; 1 where the ticket does not say.
	Epochs int `json:"epochs"`
	// From is the first sample to send, 0:0 where the ticket does not say.
	From batch.Position `json:"-"`
	// Rank and World select a part of the stream: Rank is nil where the ticket
	// names none, World 1.
	Rank  *int `json:"rank,omitempty"`
	World int  `json:"world"`
}

// ticketText is a ticket as it travels.
type ticketText struct {
	Ticket
	From string `json:"from,omitempty"`
}

// ParseTicket reads a ticket and checks it.
func ParseTicket(text []byte) (Ticket, error) {
	t := ticketText{Ticket: Ticket{Epochs: 1, World: 1}}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&t); err != nil {
		return Ticket{}, fmt.Errorf(`batch/flight: ticket %.80q: %w, want an object as {"stream":"pairs"}`, text, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Ticket{}, fmt.Errorf("batch/flight: ticket %.80q: something follows the object", text)
	}
	if t.From != "" {
		from, err := batch.ParsePosition(t.From)
		if err != nil {
			return Ticket{}, fmt.Errorf("batch/flight: ticket: from: %w", err)
		}
		t.Ticket.From = from
	}
	switch {
	case t.Epochs < 0:
		return Ticket{}, fmt.Errorf("batch/flight: ticket: epochs: got %d, want at least 0", t.Epochs)
	case t.World < 1 || t.World > maxWorld:
		return Ticket{}, fmt.Errorf("batch/flight: ticket: world: got %d, want 1 to %d", t.World, maxWorld)
	case t.Rank != nil && (*t.Rank < 0 || *t.Rank >= t.World):
		return Ticket{}, fmt.Errorf("batch/flight: ticket: rank: got %d, want 0 to %d", *t.Rank, t.World-1)
	}
	return t.Ticket, nil
}

// maxWorld bounds the endpoints that a request can make the server list.
const maxWorld = 1 << 12

// Bytes returns the ticket in the form ParseTicket reads.
func (t Ticket) Bytes() []byte {
	text := ticketText{Ticket: t}
	if t.From != (batch.Position{}) {
		text.From = t.From.String()
	}
	out, err := json.Marshal(text)
	if err != nil {
		panic(err) // strings and integers always encode
	}
	return out
}

// parts returns the tickets that together ask for all of t: t itself, or one
// for each rank of a world whose rank is left open.
func (t Ticket) parts() []Ticket {
	if t.Rank != nil || t.World == 1 {
		return []Ticket{t}
	}
	out := make([]Ticket, t.World)
	for rank := range out {
		out[rank] = t
		out[rank].Rank = &rank
	}
	return out
}
