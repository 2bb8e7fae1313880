package page

import (
	"strings"
	"testing"
	"time"

	"github.com/maxence-charriere/go-app/v9/pkg/app"

	"kinopod/shared/api"
	"kinopod/shared/video"
	"kinopod/webapp/upload"
)

func TestUploadWords(t *testing.T) {
	now := time.Now()
	offline := &api.Error{Code: api.CodeOffline, Message: "The pod cannot be reached."}
	for _, c := range []struct {
		item           upload.Item
		state, numbers string
	}{
		{upload.Item{State: upload.Checking, Size: 2e6}, "Looking at the file…", ""},
		{upload.Item{State: upload.Waiting, Size: 2e6}, "Waits for its turn", ""},
		{upload.Item{State: upload.Sending, Size: 2 << 20, Bytes: 860 << 10}, "42 %", "860 KiB of 2.0 MiB"},
		{upload.Item{State: upload.Sending, Size: 2 << 20, Bytes: 1 << 20, Speed: 100 << 10, Left: 10 * time.Second}, "50 %", "1.0 MiB of 2.0 MiB · 100 KiB/s · 10 s left"},
		{upload.Item{State: upload.Retrying, Size: 2e6, Err: offline, RetryAt: now.Add(4500 * time.Millisecond)}, "The pod cannot be reached. Trying again in 5 s.", "0 B of 1.9 MiB"},
		{upload.Item{State: upload.Retrying, Size: 2e6, Err: offline, RetryAt: now}, "The pod cannot be reached. Trying again…", "0 B of 1.9 MiB"},
		{upload.Item{State: upload.Paused, Size: 2e6, Bytes: 1e6}, "Paused at 50 %", "977 KiB of 1.9 MiB"},
		{upload.Item{State: upload.Done, Size: 2e6, Bytes: 2e6}, "Published", ""},
	} {
		if got := stateText(c.item, now); got != c.state {
			t.Errorf("%s: %q, not %q", c.item.State, got, c.state)
		}
		if got := numbers(c.item); got != c.numbers {
			t.Errorf("%s: %q, not %q", c.item.State, got, c.numbers)
		}
	}
	for d, want := range map[time.Duration]string{
		300 * time.Millisecond: "1 s left", 59 * time.Second: "59 s left", 90 * time.Second: "2 min left",
		59 * time.Minute: "59 min left", 100 * time.Minute: "1 h 40 min left",
	} {
		if got := leftText(d); got != want {
			t.Errorf("%s: %q, not %q", d, got, want)
		}
	}
}

// A retry that could not help is not offered, and what would be lost is not closed
// without a question.
func TestUploadButtons(t *testing.T) {
	u := &uploads{env: &Env{}, queue: upload.New(upload.Config{}), shown: map[int]upload.Details{}}
	id := video.NewID("pod.example")
	failed := func(code api.Code) upload.Item {
		return upload.Item{State: upload.Failed, Err: &api.Error{Code: code, Message: "So it is."}}
	}
	for _, c := range []struct {
		item upload.Item
		want string
	}{
		{upload.Item{State: upload.Sending, ID: id}, "Pause Discard"},
		{upload.Item{State: upload.Retrying, ID: id, Err: &api.Error{}}, "Try now Pause Discard"},
		{upload.Item{State: upload.Paused, ID: id}, "Resume Discard"},
		{failed(api.CodeUnsupported), "Dismiss"},
		{failed(api.CodeTooLarge), "Try again Dismiss"},
		{failed(api.CodeUnauthorized), "Log in Dismiss"},
		{upload.Item{State: upload.Failed, ID: id, Err: &api.Error{Code: api.CodeNoSpace}}, "Try again Discard"},
		{upload.Item{State: upload.Failed, ID: id, Size: 9, Bytes: 9, Err: &api.Error{Code: api.CodeInvalid}}, "Dismiss"},
		{upload.Item{State: upload.Failed, ID: id, Size: 9, Bytes: 5, Err: &api.Error{Code: api.CodeInvalid}}, "Discard"},
		{upload.Item{State: upload.Done, ID: id}, "Close"},
	} {
		var got []string
		c.item.FileName = "f"
		html := app.HTMLString(u.buttons(c.item))
		for _, word := range []string{"Try now", "Try again", "Resume", "Log in", "Pause", "Discard", "Dismiss", "Close"} {
			if strings.Contains(html, `aria-label="`+word+` `) || word == "Log in" && strings.Contains(html, word) {
				got = append(got, word)
			}
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: %q, not %q", c.item.State, s, c.want)
		}
	}
}
