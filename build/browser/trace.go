package browser

import (
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/tracing"
	"github.com/chromedp/chromedp"
)

// traced is one event of a trace.
type traced struct {
	Name string  `json:"name"`
	PID  int     `json:"pid"`
	TID  int     `json:"tid"`
	CPU  float64 `json:"tdur"` // microseconds
	Args struct {
		Name string `json:"name"`
	} `json:"args"`
}

// Tasks runs f and gives the tasks of main threads of pages meanwhile that took at least
// least of processor time, which does not depend on what else the machine does.
func (p *Page) Tasks(least time.Duration, f func() error) (tasks []time.Duration, err error) {
	var mu sync.Mutex
	var events []traced // guarded by mu
	complete := make(chan struct{})
	var once sync.Once
	err = chromedp.Listen(p.Ctx, func(ev any) {
		switch ev := ev.(type) {
		case *tracing.EventDataCollected:
			mu.Lock()
			defer mu.Unlock()
			for _, v := range ev.Value {
				var e traced
				if json.Unmarshal(v, &e) == nil {
					events = append(events, e)
				}
			}
		case *tracing.EventTracingComplete:
			once.Do(func() { close(complete) })
		}
	})
	if err != nil {
		return nil, err
	}
	config := &tracing.TraceConfig{IncludedCategories: []string{"toplevel"}, ExcludedCategories: []string{"*"}}
	if _, err := chromedp.Call(p.Ctx, tracing.Start, tracing.StartParams{TraceConfig: config}); err != nil {
		return nil, err
	}
	err = f()
	if _, err := chromedp.Call(p.Ctx, tracing.End, cdp.Empty{}); err != nil {
		return nil, err
	}
	select {
	case <-complete:
	case <-time.After(time.Minute):
		return nil, errors.New("the trace does not come to its end")
	}
	mu.Lock()
	defer mu.Unlock()
	type thread struct{ pid, tid int }
	main := map[thread]bool{}
	for _, e := range events {
		if e.Name == "thread_name" && e.Args.Name == "CrRendererMain" {
			main[thread{e.PID, e.TID}] = true
		}
	}
	for _, e := range events {
		if took := time.Duration(e.CPU * float64(time.Microsecond)); e.Name == "ThreadControllerImpl::RunTask" && main[thread{e.PID, e.TID}] && took >= least {
			tasks = append(tasks, took)
		}
	}
	return tasks, err
}
