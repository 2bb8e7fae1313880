package federation

import (
	"errors"
	"fmt"

	"kinopod/shared/video"
)

// MaxViews is how many videos a ViewsRequest names at most, and a Views.
const MaxViews = 2000

const (
	// maxCount bounds a number of views: what is more is a lie, and would not be exact in a
	// score of Redis.
	maxCount = 1 << 50
	maxPlace = 40 // bytes of a place in a list of another pod
)

// ViewCount is how often a video was watched.
type ViewCount struct {
	ID    video.ID `json:"id"`
	Count int64    `json:"n"`
}

// ViewsRequest tells how often videos of the recipient were watched at the sender, and
// asks how often they were watched everywhere.
type ViewsRequest struct {
	// Batch is greater than that of any batch before, and the same where this one comes
	// again; 0 where nothing is told.
	Batch int64       `json:"batch,omitempty"`
	Views []ViewCount `json:"views,omitempty"`
	After string      `json:"after,omitempty"` // Views.Next of the answer before; "" is from the beginning
}

// ParseViewsRequest reads a body of PathViews.
func ParseViewsRequest(body []byte) (r ViewsRequest, err error) {
	if err := parse(body, &r); err != nil {
		return ViewsRequest{}, err
	}
	if err = checkCounts(r.Views, 1); err == nil && (r.Batch < 0 || r.Batch > maxMillis || r.Batch == 0 && len(r.Views) > 0 || len(r.After) > maxPlace) {
		err = errors.New("a strange batch of views")
	}
	if err != nil {
		return ViewsRequest{}, refuse(BadBody, err)
	}
	return r, nil
}

// Views are how often videos of the recipient were watched everywhere: of those that were
// watched since the place After.
type Views struct {
	Totals []ViewCount `json:"totals"`
	Next   string      `json:"next,omitempty"`
	More   bool        `json:"more,omitempty"` // after Next
}

// ParseViews reads an answer of PathViews.
func ParseViews(body []byte) (v Views, err error) {
	if err := parse(body, &v); err != nil {
		return Views{}, err
	}
	if err = checkCounts(v.Totals, 0); err == nil && len(v.Next) > maxPlace {
		err = errors.New("a strange place")
	}
	if err != nil {
		return Views{}, refuse(BadBody, err)
	}
	return v, nil
}

func checkCounts(counts []ViewCount, least int64) error {
	if len(counts) > MaxViews {
		return fmt.Errorf("%d numbers of views", len(counts))
	}
	seen := make(map[video.ID]bool, len(counts))
	for _, c := range counts {
		if c.ID.IsZero() || seen[c.ID] || c.Count < least || c.Count > maxCount {
			return fmt.Errorf("%d views of %s", c.Count, c.ID)
		}
		seen[c.ID] = true
	}
	return nil
}
