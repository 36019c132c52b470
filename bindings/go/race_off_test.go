//go:build !race

package stsecrets

const raceEnabled = false
