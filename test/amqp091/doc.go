// Package amqp091 holds the tests of AMQP 0-9-1 against a whole node in this
// process, spoken to by frames and by a client that applications use: every
// refusal with its words, publishing and consuming, what survives a restart,
// and what hostile peers do. The node is shared by most tests and runs on
// loopback with a directory of its own.
//
// With -peer ADDRESS the tables of refusals are held against a RabbitMQ
// instead: go test -run 'TestErrors|TestGreetings' ./test/amqp091 -peer ADDRESS
package amqp091
