//go:build race

package stsecrets

// With the race detector, calls allocate memory that they do not need otherwise.
const raceEnabled = true
