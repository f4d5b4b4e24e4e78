package broker

import (
	"fmt"

	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/exchange"
)

// exchangeType returns how an exchange that is to be declared routes, and
// whether it delays, or why it can not be.
func exchangeType(o *ExchangeOptions) (t exchange.Type, delayed bool, text string) {
	name := o.Type
	if name == catalog.DelayedType {
		delayed = true
		v, _ := o.Args.Lookup(catalog.DelayedTypeArg)
		var ok bool
		if name, ok = v.Text(); name == catalog.DelayedType {
			return 0, false, "Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'"
		} else if !ok {
			return 0, false, "Invalid argument, 'x-delayed-type' must be an existing exchange type"
		}
	}
	t, ok := exchange.ParseType(name)
	switch {
	case !ok && delayed:
		return 0, false, "Invalid argument, 'x-delayed-type' must be an existing exchange type"
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
