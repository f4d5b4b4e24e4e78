// Package checker judges what a broker did with messages while it was being hurt.
//
// Clients tell a Recorder what they are about to do and what came of it; it writes
// the history, a line an event, and feeds it to a Judge, which holds it against the
// rules: nothing confirmed is lost, nothing comes from nowhere, what comes again is
// marked and had a cause, and so on. A history that was written can be judged anew
// by Replay. The work is linear in the events, and memory a few bytes a message.
//
// The package knows no protocol and does no I/O of its own. A Recorder may be
// called from any goroutine, a Judge from one at a time.
package checker
