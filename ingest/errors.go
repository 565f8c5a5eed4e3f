package ingest

// UsageError says that the configuration cannot be met whatever the data holds:
// a source that names nothing, two shards of the same name, a bad setting.
type UsageError struct{ Err error }

// Error is that of the cause.
func (e *UsageError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *UsageError) Unwrap() error { return e.Err }
