package catalog

import (
	"github.com/warrenmq/warren/core/exchange"
)

func (x *SetCluster) op() op           { return opSetCluster }
func (x *AddNode) op() op              { return opAddNode }
func (x *RemoveNode) op() op           { return opRemoveNode }
func (x *Register) op() op             { return opRegister }
func (x *EndIncarnation) op() op       { return opEndIncarnation }
func (x *EndSession) op() op           { return opEndSession }
func (x *AddShard) op() op             { return opAddShard }
func (x *SetShard) op() op             { return opSetShard }
func (x *RemoveShard) op() op          { return opRemoveShard }
func (x *AddVHost) op() op             { return opAddVHost }
func (x *SetVHost) op() op             { return opSetVHost }
func (x *RemoveVHost) op() op          { return opRemoveVHost }
func (x *SetUser) op() op              { return opSetUser }
func (x *RemoveUser) op() op           { return opRemoveUser }
func (x *SetPermission) op() op        { return opSetPermission }
func (x *ClearPermission) op() op      { return opClearPermission }
func (x *SetTopicPermission) op() op   { return opSetTopicPermission }
func (x *ClearTopicPermission) op() op { return opClearTopicPermission }
func (x *DeclareExchange) op() op      { return opDeclareExchange }
func (x *DeleteExchange) op() op       { return opDeleteExchange }
func (x *DeclareQueue) op() op         { return opDeclareQueue }
func (x *UpdateQueue) op() op          { return opUpdateQueue }
func (x *DeleteQueue) op() op          { return opDeleteQueue }
func (x *Bind) op() op                 { return opBind }
func (x *Unbind) op() op               { return opUnbind }
func (x *SetPolicy) op() op            { return opSetPolicy }
func (x *ClearPolicy) op() op          { return opClearPolicy }
func (x *SetParameter) op() op         { return opSetParameter }
func (x *ClearParameter) op() op       { return opClearParameter }
func (x *SetLimits) op() op            { return opSetLimits }
func (x *SetNodeState) op() op         { return opSetNodeState }
func (x *Refuse) op() op               { return opRefuse }
func (x *NoteMembers) op() op          { return opNoteMembers }

func (x *Cluster) fields(c *coder) {
	c.str(&x.ID)
	c.uint(&x.Generation)
	c.uint(&x.Feature)
	c.str(&x.Name)
}

func (x *AddNode) fields(c *coder) {
	c.uint(&x.ID)
	c.str(&x.Name)
	c.table(&x.Attrs)
}

func (x *RemoveNode) fields(c *coder) { c.uint(&x.ID) }

func (x *Register) fields(c *coder) {
	c.uint(&x.Node)
	c.uint(&x.Nonce)
}

func (x *EndIncarnation) fields(c *coder) {
	c.uint(&x.Number)
	list(c, &x.Witnesses, c.uint)
	c.uint(&x.Term)
}

func (x *SetNodeState) fields(c *coder) {
	c.uint(&x.ID)
	enum(c, &x.State, nodeStates)
}

func (x *Refuse) fields(c *coder) { c.str(&x.Text) }

func (x *Session) fields(c *coder) {
	c.uint(&x.Incarnation)
	c.uint(&x.Number)
}

func (x *ShardSpec) fields(c *coder) {
	list(c, &x.Replicas, c.uint)
	c.uint(&x.Leader)
	c.table(&x.Attrs)
}

func (x *AddShard) fields(c *coder) { (*ShardSpec)(x).fields(c) }

func (x *SetShard) fields(c *coder) {
	c.uint(&x.ID)
	x.ShardSpec.fields(c)
}

func (x *NoteMembers) fields(c *coder) {
	c.uint(&x.Shard)
	x.Members.fields(c)
}

func (x *Members) fields(c *coder) {
	list(c, &x.Voters, c.uint)
	list(c, &x.Others, c.uint)
	c.uint(&x.At)
}

func (x *RemoveShard) fields(c *coder) { c.uint(&x.ID) }

func (x *AddVHost) fields(c *coder) {
	c.str(&x.Name)
	c.table(&x.Attrs)
}

func (x *SetVHost) fields(c *coder) {
	c.str(&x.Name)
	c.table(&x.Attrs)
}

func (x *RemoveVHost) fields(c *coder) { c.str(&x.Name) }

func (x *SetUser) fields(c *coder) {
	c.str(&x.Name)
	c.bytes(&x.Password)
	list(c, &x.Tags, c.str)
	c.table(&x.Attrs)
}

func (x *RemoveUser) fields(c *coder) { c.str(&x.Name) }

func (x *SetPermission) fields(c *coder) {
	c.str(&x.User)
	c.str(&x.VHost)
	c.str(&x.Configure)
	c.str(&x.Write)
	c.str(&x.Read)
}

func (x *ClearPermission) fields(c *coder) {
	c.str(&x.User)
	c.str(&x.VHost)
}

func (x *SetTopicPermission) fields(c *coder) {
	c.str(&x.User)
	c.str(&x.VHost)
	c.str(&x.Exchange)
	c.str(&x.Write)
	c.str(&x.Read)
}

func (x *ClearTopicPermission) fields(c *coder) {
	c.str(&x.User)
	c.str(&x.VHost)
	c.str(&x.Exchange)
	c.flag(&x.All)
}

func (x *SetLimits) fields(c *coder) {
	c.str(&x.User)
	c.str(&x.VHost)
	x.Limits.fields(c)
}

func (x *Limits) fields(c *coder) {
	for _, l := range []*Limit{&x.Connections, &x.Queues, &x.Channels} {
		c.uint((*uint64)(l))
	}
}

func (x *ExchangeSpec) fields(c *coder) {
	c.str(&x.Name)
	enum(c, &x.Type, 255)
	if !x.Type.Known() {
		c.failed = true
	}
	c.flag(&x.Durable)
	c.flag(&x.AutoDelete)
	c.flag(&x.Internal)
	c.flag(&x.Delayed)
	c.table(&x.Args)
}

func (x *DeclareExchange) fields(c *coder) {
	c.str(&x.VHost)
	x.ExchangeSpec.fields(c)
	x.Match.fields(c)
	c.uint(&x.Home)
}

func (x *Match) fields(c *coder) {
	c.str(&x.Policy)
	c.str(&x.OperatorPolicy)
}

func (x *DeleteExchange) fields(c *coder) {
	c.str(&x.VHost)
	c.str(&x.Name)
	c.uint(&x.ID)
	c.flag(&x.IfUnused)
}

func (x *QueueSpec) fields(c *coder) {
	c.str(&x.Name)
	enum(c, &x.Kind, queueKinds)
	c.flag(&x.Durable)
	c.flag(&x.AutoDelete)
	c.flag(&x.Exclusive)
	x.Owner.fields(c)
	c.table(&x.Args)
	c.uint(&x.Shard)
	c.uint(&x.Node)
	c.uint(&x.Incarnation)
}

func (x *DeclareQueue) fields(c *coder) {
	c.str(&x.VHost)
	x.QueueSpec.fields(c)
	x.Match.fields(c)
	c.uint(&x.Most)
	c.flag(&x.Strict)
}

func (x *UpdateQueue) fields(c *coder) {
	c.uint(&x.ID)
	c.uint(&x.Epoch)
	c.flag(&x.Raise)
	enum(c, &x.State, queueStates)
	c.uint(&x.Shard)
	c.uint(&x.Node)
	c.uint(&x.Incarnation)
}

func (x *DeleteQueue) fields(c *coder) {
	c.str(&x.VHost)
	c.str(&x.Name)
	c.uint(&x.ID)
	x.By.fields(c)
	c.flag(&x.Force)
}

func (x *Link) fields(c *coder) {
	c.str(&x.VHost)
	c.str(&x.Source)
	enum(c, &x.Kind, exchange.Exchange+1)
	c.str(&x.Destination)
	c.str(&x.Key)
	c.table(&x.Args)
}

func (x *SetPolicy) fields(c *coder) {
	c.str(&x.VHost)
	c.str(&x.Name)
	c.flag(&x.Operator)
	c.str(&x.Pattern)
	c.str(&x.ApplyTo)
	c.int(&x.Priority)
	c.table(&x.Definition)
	list(c, &x.Shifts, shiftFields(c))
}

func (x *ClearPolicy) fields(c *coder) {
	c.str(&x.VHost)
	c.str(&x.Name)
	c.flag(&x.Operator)
	list(c, &x.Shifts, shiftFields(c))
}

func shiftFields(c *coder) func(*Shift) {
	return func(s *Shift) {
		c.str(&s.Policy)
		c.ids(&s.Queues)
		c.ids(&s.Exchanges)
	}
}

func (x *SetParameter) fields(c *coder) {
	c.str(&x.VHost)
	c.str(&x.Component)
	c.str(&x.Name)
	c.bytes(&x.Value)
}

func (x *ClearParameter) fields(c *coder) {
	c.str(&x.VHost)
	c.str(&x.Component)
	c.str(&x.Name)
}
