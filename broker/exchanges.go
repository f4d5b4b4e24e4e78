package broker

import (
	"fmt"

	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/exchange"
)

// delays says that messages can wait until they are due, which delayed
// exchanges need.
const delays = false

// exchangeType returns how an exchange that is to be declared routes, and
// whether it delays, or why it can not be.
func exchangeType(o *ExchangeOptions) (t exchange.Type, delayed bool, text string) {
	name := o.Type
	if name == catalog.DelayedType {
		delayed = true
		v, _ := o.Args.Lookup(catalog.DelayedTypeArg)
		var ok bool
		if name, ok = v.Text(); !ok {
			return 0, false, "Invalid argument, 'x-delayed-type' must be an existing exchange type"
		}
	}
	t, ok := exchange.ParseType(name)
	switch {
	case !ok && delayed:
		return 0, false, "Invalid argument, 'x-delayed-type' must be an existing exchange type"
	case delayed && !delays:
		return 0, false, "exchanges of type 'x-delayed-message' come in a later release of Warren"
	case ok:
		if err := exchange.CheckExchange(t, o.Args); err != nil {
			return 0, false, err.Error()
		}
		return t, delayed, ""
	}
	switch name {
	case "x-recent-history", "x-jms-topic":
		return 0, false, fmt.Sprintf("exchanges of type '%s' are not offered by Warren", name)
	}
	return 0, false, fmt.Sprintf("unknown exchange type '%s'", name)
}
