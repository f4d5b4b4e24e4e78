package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/warrenmq/warren/auth"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/internal/secret"
)

const (
	guestName  = "guest"
	adminName  = "admin"
	firstVHost = "/"
)

// FirstUser is the user that a fresh node begins with instead of guest. The
// zero value is guest, who logs in from this machine only.
type FirstUser struct {
	// Name, if empty, is guest.
	Name string
	// Password, if empty, is guest's own for guest, and a random one, announced,
	// for anybody else.
	Password secret.String
	// VHost is the first vhost. Default: /.
	VHost string
}

func (u FirstUser) withDefaults() FirstUser {
	def(&u.Name, guestName)
	def(&u.VHost, firstVHost)
	return u
}

func (u FirstUser) faults() (faults []error) {
	check := func(what string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("the first user: %s: %w", what, err))
		}
	}
	u = u.withDefaults()
	check("name", auth.ValidateName(u.Name))
	check("vhost", auth.ValidateName(u.VHost))
	if !u.Password.Empty() {
		check("password", auth.ValidatePassword(u.Password))
	}
	return faults
}

// makeFirstUser makes what anybody needs to log in to a fresh node. It may be
// done again after it was interrupted.
func (n *Node) makeFirstUser(ctx context.Context) error {
	u := n.o.FirstUser
	if _, err := n.do(ctx, &catalog.AddVHost{Name: u.VHost}); err != nil {
		return err
	}
	if u.Password.Empty() && u.Name == guestName {
		return n.makeAdministrator(ctx, u.Name, secret.New(guestName), u.VHost)
	}
	if u.Password.Empty() {
		return n.makeAnnounced(ctx, u.Name, u.VHost)
	}
	return n.makeAdministrator(ctx, u.Name, u.Password, u.VHost)
}

// makeRemoteUser makes an administrator who may log in from other machines, if
// other machines reach this node and there is none but guest, who may not.
func (n *Node) makeRemoteUser(ctx context.Context) error {
	v := n.catalog.View()
	for u := range v.Users() {
		if u.Name != guestName {
			return nil
		}
	}
	if !n.o.beyond() {
		return nil
	}
	vhost := n.o.FirstUser.VHost
	if v.VHost(vhost) == nil {
		vhost = "" // deleted: an administrator can make another and enter it
	}
	if err := n.makeAnnounced(ctx, adminName, vhost); err != nil {
		return fmt.Errorf("make a user for other machines: %w", err)
	}
	n.log.Info("user made, for other machines reach this node and there was none but guest", "user", adminName)
	return nil
}

// makeAnnounced makes an administrator with a random password, which is told
// once and never again.
func (n *Node) makeAnnounced(ctx context.Context, name, vhost string) error {
	if n.o.Announce == nil {
		return errors.New("nobody would hear of the password")
	}
	password := secret.New(rand.Text())
	if err := n.makeAdministrator(ctx, name, password, vhost); err != nil {
		return err
	}
	n.o.Announce(name, password)
	return nil
}

// makeAdministrator makes a user who may do everything, also in vhost unless it
// is empty.
func (n *Node) makeAdministrator(ctx context.Context, name string, password secret.String, vhost string) error {
	record, err := n.auth.verifier.NewRecord(ctx, password)
	if err != nil {
		return err
	}
	tags := []string{auth.TagAdministrator}
	if _, err := n.do(ctx, &catalog.SetUser{Name: name, Password: []byte(record.Reveal()), Tags: tags}); err != nil {
		return err
	}
	if vhost == "" {
		return nil
	}
	_, err = n.do(ctx, &catalog.SetPermission{User: name, VHost: vhost, Configure: ".*", Write: ".*", Read: ".*"})
	return err
}

// beyond tells whether a listener of clients can be reached from another machine.
func (o Options) beyond() bool {
	for _, l := range o.Listen {
		if p, _ := LookupProtocol(l.Protocol); p.Health {
			continue
		}
		if a, err := SplitAddr(l.Addr); err == nil && !a.Loopback() {
			return true
		}
	}
	return false
}
