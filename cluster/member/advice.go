package member

// Advice says for people what is to be done about what a node waits for; empty if
// that is nothing, or to wait a moment.
func (s *Status) Advice() string {
	switch {
	case s.Voters == 0 || s.Answer >= s.Needs:
		return ""
	case s.Voters == 2:
		return "start it, or mend the network to it; two nodes need each other, a third ends that"
	case len(s.Waiting) > 1:
		return "start them, in any order, or mend the network to them: " +
			"see 'A majority that is gone for good' in docs/partitions.md if they can not come back"
	}
	return "start it, or mend the network to it"
}
