package flow

// Doubtful is how many losses make an envelope a suspect of ending whoever runs
// it: a connection that broke once, or one crash, does not.
const Doubtful = 2

// Charge counts an attempt before it runs, of a task that may take its process
// down. One that has no attempt left is dead, and must not run.
func (t *Task) Charge() {
	if t.Attempts >= t.Spec.MaxAttempts {
		t.State, t.Reason = Dead, "the process ended each time that this task ran"
		return
	}
	t.Attempts++
}

// Refund takes back a charge that could not be recorded: the task does not run.
func (t *Task) Refund() {
	if t.State == Waiting {
		t.Attempts--
	}
}
