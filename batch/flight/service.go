package flight

import (
	"context"
	"encoding/json"
	"time"

	"github.com/apache/arrow/go/v15/arrow/flight"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// service answers the calls of Flight that read. A server of streams takes none:
// DoPut and DoExchange are refused by the type that it embeds.
type service struct {
	flight.BaseFlightServer
	server *Server
}

// ListFlights lists the streams, or the one whose name is the criterion.
func (s *service) ListFlights(c *flight.Criteria, to flight.FlightService_ListFlightsServer) error {
	for _, stream := range s.server.cfg.Streams {
		if len(c.Expression) > 0 && string(c.Expression) != stream.Name {
			continue
		}
		descriptor := &flight.FlightDescriptor{Type: flight.DescriptorPATH, Path: []string{stream.Name}}
		info, err := s.GetFlightInfo(to.Context(), descriptor)
		if err != nil {
			return err
		}
		if err := to.Send(info); err != nil {
			return err
		}
	}
	return nil
}

// GetFlightInfo tells the schema of a stream and which tickets fetch it. The
// descriptor is a path of the stream's name, or a command that is a ticket.
func (s *service) GetFlightInfo(_ context.Context, d *flight.FlightDescriptor) (*flight.FlightInfo, error) {
	stream, ticket, err := s.find(d)
	if err != nil {
		return nil, err
	}
	info := &flight.FlightInfo{
		Schema:           flight.SerializeSchema(stream.Schema, s.server.cfg.Mem),
		FlightDescriptor: d,
		TotalRecords:     -1, // damaged samples are left out: how many is not known before
		TotalBytes:       -1,
	}
	for _, part := range ticket.parts() {
		// An endpoint without a location is this server.
		info.Endpoint = append(info.Endpoint, &flight.FlightEndpoint{Ticket: &flight.Ticket{Ticket: part.Bytes()}})
	}
	return info, nil
}

// GetSchema tells the schema of a stream.
func (s *service) GetSchema(_ context.Context, d *flight.FlightDescriptor) (*flight.SchemaResult, error) {
	stream, _, err := s.find(d)
	if err != nil {
		return nil, err
	}
	return &flight.SchemaResult{Schema: flight.SerializeSchema(stream.Schema, s.server.cfg.Mem)}, nil
}

// find returns the stream that a descriptor names, and the ticket for it.
func (s *service) find(d *flight.FlightDescriptor) (Stream, Ticket, error) {
	var ticket Ticket
	switch {
	case d.GetType() == flight.DescriptorPATH && len(d.Path) == 1:
		ticket = Ticket{Stream: d.Path[0], Epochs: 1, World: 1}
	case d.GetType() == flight.DescriptorCMD:
		var err error
		if ticket, err = ParseTicket(d.Cmd); err != nil {
			return Stream{}, Ticket{}, status.Error(codes.InvalidArgument, err.Error())
		}
	default:
		return Stream{}, Ticket{}, status.Errorf(codes.InvalidArgument, "a descriptor of type %v with a path of %d: want a path of one, the stream's name, or a command that is a ticket", d.GetType(), len(d.GetPath()))
	}
	stream, err := s.server.stream(ticket.Stream)
	return stream, ticket, err
}

// DoGet sends what a ticket asks for.
func (s *service) DoGet(ticket *flight.Ticket, to flight.FlightService_DoGetServer) error {
	t, err := ParseTicket(ticket.Ticket)
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	return s.server.send(to.Context(), t, to)
}

const statsAction = "stats"

// ListActions lists what DoAction can do.
func (s *service) ListActions(_ *flight.Empty, to flight.FlightService_ListActionsServer) error {
	return to.Send(&flight.ActionType{Type: statsAction, Description: "what has been sent, by stream, as a JSON object"})
}

// Stats is the answer to the action "stats".
type Stats struct {
	UptimeSeconds float64                `json:"uptime_s"`
	Streams       map[string]StreamStats `json:"streams"`
}

// StreamStats is what has been sent of a stream, to all its consumers together.
type StreamStats struct {
	Consumers int64 `json:"consumers"` // now
	Opened    int64 `json:"opened"`    // since the start
	Records   int64 `json:"records"`
	Rows      int64 `json:"rows"`
	Bytes     int64 `json:"bytes"` // of messages, before TLS
}

// DoAction carries out the action "stats".
func (s *service) DoAction(a *flight.Action, to flight.FlightService_DoActionServer) error {
	if a.Type != statsAction {
		return status.Errorf(codes.InvalidArgument, "there is no action %.80q, want %s", a.Type, statsAction)
	}
	text, err := json.Marshal(s.server.Stats())
	if err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	return to.Send(&flight.Result{Body: text})
}

// Stats returns what has been sent so far.
func (s *Server) Stats() Stats {
	out := Stats{UptimeSeconds: time.Since(s.since).Seconds(), Streams: map[string]StreamStats{}}
	for name, c := range s.stats {
		out.Streams[name] = StreamStats{
			Consumers: c.consumers.Load(), Opened: c.opened.Load(),
			Records: c.records.Load(), Rows: c.rows.Load(), Bytes: c.bytes.Load(),
		}
	}
	return out
}
