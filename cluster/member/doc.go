// Package member keeps a node in its cluster: who beats to whom, which
// incarnation is over, whether this node may serve, and how nodes that know
// nothing find each other and become one cluster.
//
// It owns the beats, the lease, the silence of others, the states of a node
// and their texts, the ways of discovery, the forming of a new cluster and the
// rules of the cookie file. It never touches the catalog itself: it is told
// what the catalog says, and hands out which incarnation should be ended. It is
// called by package node.
//
// # Beats, lease, silence
//
// A node beats every 250 ms to every voter of the catalog. A voter answers yes
// or no. Two clocks run from this:
//
//   - the node's lease: 2 s from the moment it sent the oldest beat that a
//     majority of voters answered with yes. Without a lease it serves nothing,
//     and that life of it is over;
//   - a voter's silence: 3 s from the last beat it heard, or from the voter's own
//     start. Then it reports the incarnation to the catalog's leader, and from
//     that moment answers it with no. With reports of a majority the leader has
//     the incarnation ended; without one after 1 s it calls the reports off, and
//     the voters answer again if they hear something.
//
// Every majority that ends an incarnation shares a voter with every majority
// that keeps its lease, and that voter has said yes to nothing for 3 s and will
// not until the leader calls it off. So no incarnation is ended by silence while
// its node may still serve, however long a message or a sync takes; all that is
// asked of clocks is that they run at nearly the same speed.
//
// The rest of the rules close the gaps of that argument:
//
//   - A yes counts from when the beat was sent, never from when the answer came.
//   - A promise survives a change of leaders: only the leader it was last given
//     to, by its term and the number of the report, can call it off. A leader
//     counts as one when it has applied an entry of its own term.
//   - A voter that restarts has forgotten its promise. Its report names the
//     incarnation it was made under, and the end of another counts only if all
//     its witnesses still live: the order of the catalog's log decides.
//   - The set of voters changes. Beats and answers carry the log index of the
//     set that their sender knows; who is behind learns the newer one from an
//     answer and counts by that. A change starts all silence anew.
//   - A voter that was itself stopped for a while starts all silence anew.
//
// An incarnation also ends when its node says that it is over (the lease is
// lost, or it stops), and when its process is proved gone.
//
// # Parts
//
// Machine is a step function without goroutine, clock or socket. Lease is the
// one thing others read while it steps, with one atomic load. Driver runs a
// Machine in one goroutine that touches no disk. Discoverers find candidates,
// Form decides who founds; both are driven by their caller's goroutine, except
// that Multicast and Lookup run as long as their context.
package member
