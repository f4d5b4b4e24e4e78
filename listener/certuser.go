package listener

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
	"unicode/utf8"
)

// CertUser says which part of a client's certificate names the user, for those
// who log in by it (SASL EXTERNAL).
type CertUser string

// The values of CertUser. Of several alternative names of a kind the first
// counts.
const (
	CertUserDN       CertUser = "distinguished_name" // as RFC 4514 writes it: "O=client,CN=app"
	CertUserCN       CertUser = "common_name"
	CertUserSANDNS   CertUser = "san_dns"
	CertUserSANEmail CertUser = "san_email"
	CertUserSANURI   CertUser = "san_uri"
)

// CertUsers returns all of them, the default first.
func CertUsers() []CertUser {
	return []CertUser{CertUserDN, CertUserCN, CertUserSANDNS, CertUserSANEmail, CertUserSANURI}
}

// userOf returns the user that a verified certificate names, "" if it names
// none, or more than one where there may only be one.
func userOf(cert *x509.Certificate, from CertUser) (user string) {
	switch from {
	case CertUserCN:
		user = commonName(cert)
	case CertUserSANDNS:
		user = first(cert.DNSNames)
	case CertUserSANEmail:
		user = first(cert.EmailAddresses)
	case CertUserSANURI:
		if len(cert.URIs) > 0 {
			user = cert.URIs[0].String()
		}
	default:
		user = subject(cert).String()
	}
	if !utf8.ValidString(user) || slices.Contains([]byte(user), 0) {
		return ""
	}
	return user
}

// subject keeps the order of the certificate, which pkix.Name does not.
func subject(cert *x509.Certificate) (s pkix.RDNSequence) {
	if rest, err := asn1.Unmarshal(cert.RawSubject, &s); err != nil || len(rest) > 0 {
		return nil
	}
	return s
}

func commonName(cert *x509.Certificate) string {
	var names []string
	for _, set := range subject(cert) {
		for _, a := range set {
			if a.Type.Equal(asn1.ObjectIdentifier{2, 5, 4, 3}) {
				name, _ := a.Value.(string)
				names = append(names, name)
			}
		}
	}
	if len(names) != 1 {
		return ""
	}
	return names[0]
}

func first(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return names[0]
}
