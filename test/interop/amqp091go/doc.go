// Package amqp091go holds scenarios of RabbitMQ's own Go client, run by
// `make interop` against a broker that a starter script runs on loopback: Warren,
// or with BROKER=rabbitmq the peer, so that every expectation is checked on both.
// The scenarios stand behind the build tag interop.
package amqp091go
