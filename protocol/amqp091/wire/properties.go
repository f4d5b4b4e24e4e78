package wire

import "encoding/binary"

// Properties are the properties of a message, taken apart: for who builds or
// changes them. A property is written when its flag is in Present or its value
// is not zero. To take one away, use Clear.
type Properties struct {
	Present Flags

	ContentType     string
	ContentEncoding string
	Headers         Table
	DeliveryMode    uint8 // 2 is persistent
	Priority        uint8
	CorrelationID   string
	ReplyTo         string
	Expiration      string // milliseconds, in decimal digits
	MessageID       string
	Timestamp       uint64 // seconds since 1970
	Type            string
	UserID          string
	AppID           string
	ClusterID       string
}

// Decode takes raw properties apart. Nothing in the result is a view.
func (p Props) Decode() (Properties, error) {
	if len(p) == 0 {
		return Properties{}, nil
	}
	if err := p.Validate(); err != nil {
		return Properties{}, err
	}
	headers, bad := decodeTable(p.Headers())
	if bad.reason != sound {
		return Properties{}, bad.reply(0)
	}
	return Properties{
		Present:         p.flags(),
		ContentType:     string(p.ContentType()),
		ContentEncoding: string(p.ContentEncoding()),
		Headers:         headers,
		DeliveryMode:    p.DeliveryMode(),
		Priority:        p.Priority(),
		CorrelationID:   string(p.CorrelationID()),
		ReplyTo:         string(p.ReplyTo()),
		Expiration:      string(p.Expiration()),
		MessageID:       string(p.MessageID()),
		Timestamp:       p.Timestamp(),
		Type:            string(p.Type()),
		UserID:          string(p.UserID()),
		AppID:           string(p.AppID()),
		ClusterID:       string(p.ClusterID()),
	}, nil
}

// Clear takes properties away.
func (p *Properties) Clear(f Flags) {
	p.Present &^= f
	for _, t := range p.texts() {
		if f&t.flag != 0 {
			*t.value = ""
		}
	}
	if f&HasHeaders != 0 {
		p.Headers = nil
	}
	if f&HasDeliveryMode != 0 {
		p.DeliveryMode = 0
	}
	if f&HasPriority != 0 {
		p.Priority = 0
	}
	if f&HasTimestamp != 0 {
		p.Timestamp = 0
	}
}

type textProperty struct {
	flag  Flags
	name  string
	value *string
}

// texts returns the short string properties.
func (p *Properties) texts() [10]textProperty {
	return [...]textProperty{
		{HasContentType, "content-type", &p.ContentType},
		{HasContentEncoding, "content-encoding", &p.ContentEncoding},
		{HasCorrelationID, "correlation-id", &p.CorrelationID},
		{HasReplyTo, "reply-to", &p.ReplyTo},
		{HasExpiration, "expiration", &p.Expiration},
		{HasMessageID, "message-id", &p.MessageID},
		{HasType, "type", &p.Type},
		{HasUserID, "user-id", &p.UserID},
		{HasAppID, "app-id", &p.AppID},
		{HasClusterID, "cluster-id", &p.ClusterID},
	}
}

// Validate reports a property or a header's name that does not fit. Who takes
// strings from people calls it before Append.
func (p *Properties) Validate() error {
	for _, t := range p.texts() {
		if len(*t.value) > maxShort {
			return propsError(t.name + " is longer than 255 bytes")
		}
	}
	if !p.Headers.fits() {
		return propsError("name of a header is longer than 255 bytes")
	}
	return nil
}

// Append appends the properties in raw form. It panics when a string is longer
// than 255 bytes.
func (p *Properties) Append(dst []byte) []byte {
	flags := p.flags()
	dst = binary.BigEndian.AppendUint16(dst, uint16(flags))
	dst = appendTextIf(dst, flags&HasContentType, p.ContentType)
	dst = appendTextIf(dst, flags&HasContentEncoding, p.ContentEncoding)
	if flags&HasHeaders != 0 {
		dst = p.Headers.Append(dst)
	}
	if flags&HasDeliveryMode != 0 {
		dst = append(dst, p.DeliveryMode)
	}
	if flags&HasPriority != 0 {
		dst = append(dst, p.Priority)
	}
	dst = appendTextIf(dst, flags&HasCorrelationID, p.CorrelationID)
	dst = appendTextIf(dst, flags&HasReplyTo, p.ReplyTo)
	dst = appendTextIf(dst, flags&HasExpiration, p.Expiration)
	dst = appendTextIf(dst, flags&HasMessageID, p.MessageID)
	if flags&HasTimestamp != 0 {
		dst = binary.BigEndian.AppendUint64(dst, p.Timestamp)
	}
	dst = appendTextIf(dst, flags&HasType, p.Type)
	dst = appendTextIf(dst, flags&HasUserID, p.UserID)
	dst = appendTextIf(dst, flags&HasAppID, p.AppID)
	return appendTextIf(dst, flags&HasClusterID, p.ClusterID)
}

func appendTextIf(dst []byte, present Flags, s string) []byte {
	if present == 0 {
		return dst
	}
	return appendShort(dst, s)
}

// flags returns the flags of what is to be written.
func (p *Properties) flags() Flags {
	f := p.Present & allFlags
	for _, t := range p.texts() {
		if *t.value != "" {
			f |= t.flag
		}
	}
	if len(p.Headers) > 0 {
		f |= HasHeaders
	}
	if p.DeliveryMode != 0 {
		f |= HasDeliveryMode
	}
	if p.Priority != 0 {
		f |= HasPriority
	}
	if p.Timestamp != 0 {
		f |= HasTimestamp
	}
	return f
}
