// Package message is the hub form of a message: what every protocol must be
// able to say and every queue must be able to read, beside the bytes that the
// publisher sent.
//
// A message is one blob. It begins with the few typed fields that routing,
// expiry and priority need, goes on with the publisher's own encoding of its
// properties under the tag of its protocol, and ends with the body. What the
// broker changes later (deaths, a removed expiration) is appended behind the
// body as overlay records; nothing before them is ever rewritten. The layout
// stands in docs/format-message.md.
//
// Values and Tables are the canonical typed values of headers and arguments,
// shared by all protocols.
//
// The package is pure: no clock, no goroutines, no I/O. What Parse returns
// aliases the blob, which must not change while it is in use. Protocols build
// messages, queues and the broker read them.
package message
