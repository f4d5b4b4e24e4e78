package broker

import (
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/exchange"
	"github.com/warrenmq/warren/core/message"
)

// Offers reports whether exchanges of a type can be declared.
func Offers(exchangeTypeName string) bool {
	args := message.AppendField(nil, catalog.DelayedTypeArg, message.StringOf(exchange.Direct.String()))
	_, _, why := exchangeType(&ExchangeOptions{Type: exchangeTypeName, Args: args})
	return why == ""
}
