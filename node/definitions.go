package node

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/warrenmq/warren/auth"
	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/exchange"
	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/internal/secret"
)

// definitions is the document that RabbitMQ calls so. Its fields, and those of
// what is in it, stand in the order of their names, as RabbitMQ writes them.
type definitions struct {
	Bindings         []bindingDef    `json:"bindings"`
	Exchanges        []exchangeDef   `json:"exchanges"`
	GlobalParameters []globalDef     `json:"global_parameters"`
	Parameters       []parameterDef  `json:"parameters"`
	Permissions      []permissionDef `json:"permissions"`
	Policies         []policyDef     `json:"policies"`
	ProductName      string          `json:"product_name"`
	ProductVersion   string          `json:"product_version"`
	Queues           []queueDef      `json:"queues"`
	RabbitVersion    string          `json:"rabbit_version"`
	TopicPermissions []topicDef      `json:"topic_permissions"`
	Users            []userDef       `json:"users"`
	VHosts           []vhostDef      `json:"vhosts"`
}

type bindingDef struct {
	Arguments       json.RawMessage `json:"arguments"`
	Destination     string          `json:"destination"`
	DestinationType string          `json:"destination_type"`
	RoutingKey      string          `json:"routing_key"`
	Source          string          `json:"source"`
	VHost           string          `json:"vhost"`
}

type exchangeDef struct {
	Arguments  json.RawMessage `json:"arguments"`
	AutoDelete bool            `json:"auto_delete"`
	Durable    bool            `json:"durable"`
	Internal   bool            `json:"internal"`
	Name       string          `json:"name"`
	Type       string          `json:"type"`
	VHost      string          `json:"vhost"`
}

type queueDef struct {
	Arguments  json.RawMessage `json:"arguments"`
	AutoDelete bool            `json:"auto_delete"`
	Durable    bool            `json:"durable"`
	Name       string          `json:"name"`
	Type       string          `json:"type,omitempty"`
	VHost      string          `json:"vhost"`
}

type globalDef struct {
	Name  string          `json:"name"`
	Value json.RawMessage `json:"value"`
}

type parameterDef struct {
	Component string          `json:"component"`
	Name      string          `json:"name"`
	Value     json.RawMessage `json:"value"`
	VHost     string          `json:"vhost"`
}

type permissionDef struct {
	Configure string `json:"configure"`
	Read      string `json:"read"`
	User      string `json:"user"`
	VHost     string `json:"vhost"`
	Write     string `json:"write"`
}

type topicDef struct {
	Exchange string `json:"exchange"`
	Read     string `json:"read"`
	User     string `json:"user"`
	VHost    string `json:"vhost"`
	Write    string `json:"write"`
}

type policyDef struct {
	ApplyTo    string          `json:"apply-to"`
	Definition json.RawMessage `json:"definition"`
	Name       string          `json:"name"`
	Pattern    string          `json:"pattern"`
	Priority   int64           `json:"priority"`
	VHost      string          `json:"vhost,omitempty"`
}

type userDef struct {
	HashingAlgorithm string          `json:"hashing_algorithm,omitempty"`
	Limits           json.RawMessage `json:"limits,omitempty"`
	Name             string          `json:"name"`
	PasswordHash     string          `json:"password_hash"`
	Tags             tagList         `json:"tags"`
	// Password is only read: RabbitMQ's documents may carry one.
	Password string `json:"password,omitempty"`
}

type vhostDef struct {
	Limits   json.RawMessage `json:"limits,omitempty"`
	Metadata vhostMetaDef    `json:"metadata"`
	Name     string          `json:"name"`
	// What newer documents say beside the metadata is only read.
	Description      string  `json:"description,omitempty"`
	Tags             tagList `json:"tags,omitempty"`
	DefaultQueueType string  `json:"default_queue_type,omitempty"`
}

type vhostMetaDef struct {
	DefaultQueueType string  `json:"default_queue_type,omitempty"`
	Description      string  `json:"description"`
	Tags             tagList `json:"tags"`
}

// operatorPolicy is the component that operator policies are parameters of, and
// vhostLimits that of limits.
const (
	operatorPolicy = "operator_policy"
	vhostLimits    = "vhost-limits"
)

// ourRecord is the hashing algorithm of our own password records.
const ourRecord = "warren_password_record"

// rabbitVersion is the version whose form the document has.
const rabbitVersion = "3.10.8"

// A tagList is a list of texts, which older documents write as one text with
// commas.
type tagList []string

// UnmarshalJSON implements json.Unmarshaler.
func (t *tagList) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*t = tags(splitTags(one))
		return nil
	}
	var all []string
	if err := json.Unmarshal(b, &all); err != nil {
		return fmt.Errorf("tags: %w", err)
	}
	*t = tags(all)
	return nil
}

// exportDefinitions writes what a view holds. Exclusive queues are left out:
// they belong to a connection.
func (n *Node) exportDefinitions(v *catalog.View) ([]byte, error) {
	d := definitions{
		Bindings: []bindingDef{}, Exchanges: []exchangeDef{}, GlobalParameters: []globalDef{}, Parameters: []parameterDef{},
		Permissions: []permissionDef{}, Policies: []policyDef{}, Queues: []queueDef{}, TopicPermissions: []topicDef{},
		Users: []userDef{}, VHosts: []vhostDef{},
		ProductName: "Warren", ProductVersion: n.o.Version, RabbitVersion: rabbitVersion,
	}
	for u := range v.Users() {
		d.Users = append(d.Users, exportUser(u))
	}
	for p := range v.Permissions() {
		d.Permissions = append(d.Permissions, permissionDef{p.Configure, p.Read, p.User, v.VHostByID(p.VHost).Name, p.Write})
	}
	for p := range v.TopicPermissions() {
		d.TopicPermissions = append(d.TopicPermissions, topicDef{p.Exchange, p.Read, p.User, v.VHostByID(p.VHost).Name, p.Write})
	}
	for p := range v.Parameters() {
		switch {
		case p.VHost == 0 && p.Component == "":
			d.GlobalParameters = append(d.GlobalParameters, globalDef{p.Name, p.Value})
		case p.VHost != 0:
			d.Parameters = append(d.Parameters, parameterDef{p.Component, p.Name, p.Value, v.VHostByID(p.VHost).Name})
		}
	}
	for h := range v.VHosts() {
		if err := d.addVHost(v, h); err != nil {
			return nil, err
		}
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(d); err != nil {
		return nil, fmt.Errorf("write the definitions: %w", err)
	}
	return bytes.TrimRight(out.Bytes(), "\n"), nil
}

func exportUser(u *catalog.User) userDef {
	d := userDef{Name: u.Name, Tags: append(tagList{}, u.Tags...), Limits: broker.LimitsJSON(u.Limits)}
	switch hash, algorithm, ok := auth.ExportRabbitMQ(secret.New(string(u.Password))); {
	case ok:
		d.PasswordHash, d.HashingAlgorithm = hash.Reveal(), algorithm
	case len(u.Password) > 0:
		d.PasswordHash, d.HashingAlgorithm = string(u.Password), ourRecord
	default:
		d.HashingAlgorithm = auth.RabbitSHA256
	}
	return d
}

func (d *definitions) addVHost(v *catalog.View, h *catalog.VHost) error {
	m := metaOf(h)
	d.VHosts = append(d.VHosts, vhostDef{
		Limits: json.RawMessage("[]"), Name: h.Name,
		Metadata: vhostMetaDef{Description: m.Description, Tags: append(tagList{}, m.Tags...), DefaultQueueType: m.QueueType},
	})
	if limits := broker.LimitsJSON(h.Limits); string(limits) != "{}" {
		d.Parameters = append(d.Parameters, parameterDef{vhostLimits, "limits", limits, h.Name})
	}
	for p := range v.Policies(h) {
		def := policyDef{p.ApplyTo, broker.AppendJSON(nil, p.Definition), p.Name, p.Pattern, p.Priority, h.Name}
		if !p.Operator {
			d.Policies = append(d.Policies, def)
			continue
		}
		def.VHost, def.Name = "", ""
		value, err := json.Marshal(struct {
			policyDef
			Name string `json:"name,omitempty"`
		}{policyDef: def})
		if err != nil {
			return fmt.Errorf("write the policy %q: %w", p.Name, err)
		}
		d.Parameters = append(d.Parameters, parameterDef{operatorPolicy, p.Name, value, h.Name})
	}
	for q := range h.Queues("") {
		if q.Exclusive {
			continue
		}
		if err := writable("queue", q.Name); err != nil {
			return err
		}
		kind := "classic"
		if q.Kind == catalog.Quorum {
			kind = "quorum"
		}
		d.Queues = append(d.Queues, queueDef{broker.AppendJSON(nil, q.Args), q.AutoDelete, q.Durable, q.Name, kind, h.Name})
	}
	for x := range h.Exchanges("") {
		if !x.System {
			d.Exchanges = append(d.Exchanges, exchangeDef{broker.AppendJSON(nil, x.Args), x.AutoDelete, x.Durable, x.Internal, x.Name, x.TypeName(), h.Name})
		}
		if err := d.addBindings(v, h, x); err != nil {
			return err
		}
	}
	return nil
}

func (d *definitions) addBindings(v *catalog.View, h *catalog.VHost, x *catalog.Exchange) error {
	if err := writable("exchange", x.Name); err != nil {
		return err
	}
	for b := range v.Bindings(x).All() {
		def := bindingDef{Arguments: broker.AppendJSON(nil, b.Args), RoutingKey: b.Key, Source: x.Name, VHost: h.Name}
		if b.Dest.Kind() == exchange.Exchange {
			def.DestinationType, def.Destination = "exchange", v.ExchangeByID(b.Dest.ID()).Name
		} else {
			q := v.QueueByID(b.Dest.ID())
			if q.Exclusive {
				continue
			}
			def.DestinationType, def.Destination = "queue", q.Name
		}
		if err := writable("routing key", b.Key); err != nil {
			return err
		}
		d.Bindings = append(d.Bindings, def)
	}
	return nil
}

// writable refuses a name that JSON can not hold: it would come back as another.
func writable(what, name string) error {
	if !utf8.ValidString(name) {
		return fmt.Errorf("the %s %q is not UTF-8: JSON can not hold it", what, name)
	}
	return nil
}

// tableOf reads arguments.
func tableOf(text json.RawMessage) (message.Table, error) {
	if len(text) == 0 || string(text) == "[]" || string(text) == "null" {
		return nil, nil
	}
	return broker.ParseJSON(text)
}
