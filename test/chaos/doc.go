// Package chaos kills a running broker again and again under confirmed load and
// lets the checker judge what came back. The test stands behind the build tag
// chaos (`make chaos`) and needs the program, which a starter of
// test/interop/brokers runs as a process of its own.
package chaos
