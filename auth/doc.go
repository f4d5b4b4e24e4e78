// Package auth decides who may do what: it checks credentials (Verifier) and
// permissions (Authorizer). It is the only place that does, for every
// protocol, the HTTP API and links.
//
// It never stores users: it reads them through a Directory, which the catalog's
// View satisfies, and everything it remembers is tied to the revisions found
// there, so that a change takes effect with the next check. It never writes a
// password, or anything made of one, into a log or an error.
//
// It is called by broker sessions, front-ends during login, admin and links,
// from their own goroutines, and starts none. Hashing is bounded: Authenticate
// blocks while others hash, and refuses with Busy when too many wait.
package auth
