// Package flight serves record streams over Arrow Flight, so that programs on
// this machine and others read images and pairs as they are made. It stands
// apart from package batch, which links no gRPC.
//
// A consumer asks with a ticket, a JSON object:
//
//	{"stream":"pairs"}                                   one epoch, all of it
//	{"stream":"pairs","epochs":0,"from":"2:4096"}        from there on until the consumer leaves
//	{"stream":"pairs","epochs":5,"rank":1,"world":4}     a quarter, disjoint from ranks 0, 2 and 3
//
// Every DoGet runs stages of its own: consumers neither wait for each other nor
// see each other's records, and the same ticket gives the same stream. Shares
// of one stream are asked for as ranks; GetFlightInfo with a ticket that has a
// world and no rank answers with an endpoint for each rank.
//
// A consumer that reads slowly is waited for: Flight's flow control stops the
// stages, which hold a few records at most. A stream that ends without an error
// is complete.
//
// ListFlights names the streams, DoAction("stats") tells what has been sent. A
// record is one message, which for views of 224 pixels is 77 MB at 256 pairs:
// clients that limit messages, as Go's does to 4 MiB, must allow for it.
package flight
