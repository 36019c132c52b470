//go:build race

package stsecrets

// With the race detector, calls need memory that they do not need else.
const raceEnabled = true
