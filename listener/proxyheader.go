package listener

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// A proxyHeader is what a proxy says of a connection. Addresses that it does not
// tell, or that are none of TCP's, are zero.
type proxyHeader struct {
	local          bool // made by the proxy for itself
	source, target netip.AddrPort
}

const (
	proxyV1      = "PROXY "
	proxyV2      = "\r\n\r\n\x00\r\nQUIT\n"
	proxyLine    = 107     // of version 1, with its end
	proxyFixed   = 16      // of version 2, before the addresses
	proxyLongest = 4 << 10 // of version 2, with what is beside the addresses
)

// errNoProxy says that a conversation does not begin with a header.
var errNoProxy = errors.New("no header of the PROXY protocol")

// errBadProxy says that it begins with one that can not be read.
var errBadProxy = errors.New("bad header of the PROXY protocol")

func badProxy(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errBadProxy}, args...)...)
}

// parseProxy reads a header off the beginning of b and returns its length, or 0
// if there is more to come. It is pure.
func parseProxy(b []byte) (h proxyHeader, n int, err error) {
	begins := func(magic string) bool {
		n := min(len(b), len(magic))
		return string(b[:n]) == magic[:n]
	}
	switch {
	case begins(proxyV1):
		end := bytes.IndexByte(b[:min(len(b), proxyLine)], '\n')
		if end < 0 {
			if len(b) >= proxyLine {
				err = badProxy("the line does not end")
			}
			return h, 0, err
		}
		h, err = parseProxyLine(string(b[:end+1]))
		return h, end + 1, err
	case begins(proxyV2):
		if len(b) < proxyFixed {
			return h, 0, nil
		}
		n = proxyFixed + int(binary.BigEndian.Uint16(b[14:]))
		switch {
		case n > proxyLongest:
			return h, 0, badProxy("%d bytes, at most %d are read", n, proxyLongest)
		case len(b) < n:
			return h, 0, nil
		}
		h, err = parseProxyBlock(b[12], b[13], b[proxyFixed:n])
		return h, n, err
	}
	return h, 0, errNoProxy
}

// parseProxyLine reads "PROXY TCP4 192.0.2.1 192.0.2.2 56324 5672".
func parseProxyLine(line string) (h proxyHeader, err error) {
	line, ended := strings.CutSuffix(line, "\r\n")
	words := strings.Split(line, " ")
	switch {
	case !ended:
		return h, badProxy("the line does not end in CR LF")
	case words[1] == "UNKNOWN":
		return h, nil // whatever follows
	case len(words) != 6 || words[1] != "TCP4" && words[1] != "TCP6":
		return h, badProxy("not a line of version 1")
	}
	source, err1 := proxyAddr(words[1], words[2], words[4])
	target, err2 := proxyAddr(words[1], words[3], words[5])
	return proxyHeader{source: source, target: target}, errors.Join(err1, err2)
}

func proxyAddr(family, addr, port string) (netip.AddrPort, error) {
	a, err := netip.ParseAddr(addr)
	if err != nil || a.Zone() != "" || a.Is4() != (family == "TCP4") {
		return netip.AddrPort{}, badProxy("%q is no address of %s", addr, family)
	}
	p, err := strconv.ParseUint(port, 10, 16)
	if err != nil || strconv.FormatUint(p, 10) != port {
		return netip.AddrPort{}, badProxy("%q is no port", port)
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(p)), nil
}

// parseProxyBlock reads the addresses of version 2; what follows them is not
// needed.
func parseProxyBlock(command, family byte, b []byte) (h proxyHeader, err error) {
	switch command {
	case 0x20:
		h.local = true
		return h, nil
	case 0x21:
	default:
		return h, badProxy("version and command %#x", command)
	}
	size := 0
	switch family {
	case 0x11: // TCP over IPv4
		size = 4
	case 0x21: // TCP over IPv6
		size = 16
	default:
		return h, nil // not TCP: nothing that we could use
	}
	if len(b) < 2*size+4 {
		return h, badProxy("addresses of %d bytes", len(b))
	}
	at := func(i int) netip.AddrPort {
		a, _ := netip.AddrFromSlice(b[i*size:][:size]) // of a right size
		return netip.AddrPortFrom(a.Unmap(), binary.BigEndian.Uint16(b[2*size+2*i:]))
	}
	h.source, h.target = at(0), at(1)
	return h, nil
}
