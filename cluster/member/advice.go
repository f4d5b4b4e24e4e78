package member

// Advice says for people what is to be done about what a node waits for; empty if
// that is nothing, or to wait a moment.
func (s *Status) Advice() string {
	switch {
	case s.Voters == 0 || s.Answer >= s.Needs:
		return ""
	case s.Voters == 2:
		return "start it, or mend the network to it ('warren recover' if it is gone for good); two nodes need each other, a third ends that"
	case len(s.Waiting) > 1:
		return "start them, in any order, or mend the network to them: " +
			"'warren recover' if they are gone for good"
	}
	return "start it, or mend the network to it"
}
