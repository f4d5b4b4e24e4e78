// Package admin is what an operator can ask of a node and order it to do,
// whichever way that comes in. It owns the Operations interface, which node
// implements, and the values that go with it; admin/api serves it over HTTP and
// admin/client asks from the other side, so that a client is itself an
// Operations.
//
// It decides nothing and runs no goroutine.
//
// # How a resource looks
//
// A resource (queues, users, policies) is the same file name in each layer:
//
//   - admin/queues.go: the interface with its methods (type Queues), the
//     requests they take and the values they return, with JSON tags. A method
//     is one of three forms:
//     a list: func(ctx, Query) iter.Seq2[Item, error], one item at a time and
//     never a slice, for there may be 100,000 of them;
//     a question: func(ctx, Query) (Answer, error);
//     an order: func(ctx, Order) (Answer, error), where Answer is Done if there
//     is nothing to say.
//     A request is always one struct, so that it can grow; the zero value of a
//     field means that it was not given.
//   - admin/operations.go: a line that puts the interface into Operations.
//   - admin/api/queues.go: a line per method in a function that Handler calls:
//     list and ask are GET with the request as JSON in the parameter "q", act is
//     POST with the request as the body.
//   - admin/client/queues.go: a line per method.
//   - node/queues.go or the like: the work. It checks what it is given (see
//     Invalidf and its neighbours): what comes in over the socket was typed by
//     somebody.
//   - cli/ctl/queues.go: the verbs; see the comment of that package.
//
// What goes wrong is an *Error: its Kind survives the socket, so that the
// command line can choose the exit code and the text that RabbitMQ's users know.
package admin

// Operations is what a node answers.
type Operations interface {
	Statuses
	Processes
	Queues
	Exchanges
	Connections
	Users
	UserOrders
	PermissionOrders
	VHosts
	VHostOrders
	Policies
	PolicyOrders
	Limits
	Plugins
	Definitions
	Backups
	Watermarks
	Clusters
	Replicas
	Repairs
}

// Done is the answer of an order that has nothing to say.
type Done struct{}
