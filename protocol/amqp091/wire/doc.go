// Package wire is AMQP 0-9-1 as bytes: frames, methods, content headers, field
// tables, the protocol header and the SASL responses, as RabbitMQ and the
// clients written for it speak them (which is not always as the paper has it).
//
// It turns bytes into values and values into bytes and does nothing else: no
// I/O, no goroutine, no clock, no state between calls. The server's connection
// and our own client both stand on it.
//
// Three rules hold everywhere:
//
//   - Input is hostile. No length is believed before it was compared with the
//     bytes at hand and with the limit; nothing is allocated for a declared
//     size; containers nest at most MaxDepth deep.
//   - What comes once per message allocates nothing. Decoders of such methods
//     hand out views of the frame's payload, which are good until the read
//     buffer is used again; encoders append complete frames to the caller's
//     slice.
//   - Encoded tables and properties are kept as they came. Table, Value and
//     Props hold the sender's own bytes, checked once, so that order, integer
//     widths and duplicates survive the way through the broker.
//
// Frames, all numbers in network byte order:
//
//	0      1         3             7                  size+7    size+8
//	+------+---------+-------------+  +------------+  +-----------+
//	| type | channel |     size    |  |  payload   |  |   0xCE    |
//	+------+---------+-------------+  +------------+  +-----------+
//
// The methods and constants are generated from spec/amqp091/methods.txt.
package wire

//go:generate go -C ../../../tools run ./gen/amqp091 -table ../spec/amqp091/methods.txt -out ../protocol/amqp091/wire
