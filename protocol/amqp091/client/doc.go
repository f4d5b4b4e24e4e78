// Package client is the dialling side of AMQP 0-9-1: what the command line, the
// federation and the shovels talk to brokers with, ours or others'.
//
// It owns one socket per Conn and turns calls into frames and frames into
// answers and callbacks. It never reconnects, never retries and never keeps a
// message: who lost a connection dials again and knows best what to repeat.
//
// # Goroutines
//
// A Conn runs three, and Close waits for them:
//
//   - readLoop reads, decodes and calls the callbacks. It never writes to the
//     socket, so that a server which stops reading cannot stop us from reading.
//   - flushLoop writes what the callbacks left in the buffer.
//   - beatLoop counts ticks: it asks for a heartbeat when nothing was written
//     and gives the connection up when nothing was heard.
//
// Callbacks run on readLoop, one at a time: while one runs, nothing is read.
// They may publish and settle; they must not call what waits for an answer
// (everything that takes a context), and not Close.
//
// # Buffering
//
// Publish, Ack, Nack and Reject append to the connection's buffer. What a
// callback appended is written when the callback returns; everybody else calls
// Flush. A full buffer is written by the publisher that filled it, who thereby
// waits for the server.
//
// # A hostile server
//
// No length is believed: frames are limited by what was negotiated, messages by
// Options.MaxMessage, and memory grows with what arrived, not with what was
// announced. Whatever does not belong where it came ends the connection.
package client
