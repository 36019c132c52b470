package main

import (
	"strconv"
	"sync"
	"time"
)

// The width of a bin of the time series.
const step = 100 * time.Millisecond

// counts are what the gate reports.
type counts struct {
	mutex    sync.Mutex
	start    time.Time
	actions  map[string]*actionCounts
	hosts    map[int]map[string]int
	open     int
	mostOpen int
}

type actionCounts struct {
	Requests  int            `json:"requests"`
	Throttled int            `json:"throttled"`
	Statuses  map[string]int `json:"statuses"`
	// Requests and throttled requests of each step.
	Series [][2]int `json:"series"`
}

// entry is a request that has begun.
type entry struct {
	counts *counts
	action string
	start  time.Time
	bin    int
}

func newCounts() *counts {
	c := &counts{}
	c.reset()
	return c
}

func (c *counts) reset() {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.start, c.actions, c.hosts, c.mostOpen = time.Now(), map[string]*actionCounts{}, map[int]map[string]int{}, c.open
}

func (c *counts) opened() {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.open++
	c.mostOpen = max(c.mostOpen, c.open)
}

func (c *counts) closed() {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.open--
}

func (c *counts) begin(host int, asked request) entry {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	action := c.action(asked.action)
	action.Requests++
	bin := int(time.Since(c.start) / step)
	for len(action.Series) <= bin {
		action.Series = append(action.Series, [2]int{})
	}
	action.Series[bin][0]++
	if host >= 0 {
		if c.hosts[host] == nil {
			c.hosts[host] = map[string]int{}
		}
		name := asked.action
		if asked.document != "" {
			name += " " + asked.document
		}
		c.hosts[host][name]++
	}
	return entry{c, asked.action, c.start, bin}
}

// end counts the response; status 0 stands for none.
func (e entry) end(status int, throttled bool) {
	c := e.counts
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if e.start != c.start {
		return
	}
	action := c.action(e.action)
	action.Statuses[strconv.Itoa(status)]++
	if throttled {
		action.Throttled++
		action.Series[e.bin][1]++
	}
}

func (c *counts) action(name string) *actionCounts {
	if c.actions[name] == nil {
		c.actions[name] = &actionCounts{Statuses: map[string]int{}, Series: [][2]int{}}
	}
	return c.actions[name]
}

func (c *counts) report() map[string]any {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	actions, hosts := map[string]actionCounts{}, map[string]map[string]int{}
	for name, action := range c.actions {
		copied := *action
		copied.Series = append([][2]int{}, action.Series...)
		copied.Statuses = map[string]int{}
		for status, number := range action.Statuses {
			copied.Statuses[status] = number
		}
		actions[name] = copied
	}
	for host, names := range c.hosts {
		copied := map[string]int{}
		for name, number := range names {
			copied[name] = number
		}
		hosts[strconv.Itoa(host)] = copied
	}
	return map[string]any{
		"step": step.Seconds(), "actions": actions, "hosts": hosts, "most_connections": c.mostOpen,
	}
}
