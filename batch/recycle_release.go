//go:build !assert

package batch

// poison is for tests, see recycle_assert.go.
const poison = false
