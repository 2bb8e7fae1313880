package upload

import (
	"context"
	"time"

	"kinopod/shared/api"
	"kinopod/shared/video"
)

// State is where a file is on its way.
type State uint8

// The states of a file.
const (
	Checking  State = iota // its first bytes are looked at
	Waiting                // for another file to finish
	Sending                // bytes go up
	Retrying               // nothing goes up until Item.RetryAt: network or pod are away
	Finishing              // the pod has every byte and makes the video
	Paused                 // by the person
	Failed                 // Item.Err says why; Resume tries again
	Done                   // it is a video
)

// String is the state's name in one word.
func (s State) String() string {
	return [...]string{"checking", "waiting", "sending", "retrying", "finishing", "paused", "failed", "done"}[s]
}

// SaveState says whether the pod knows what was typed and chosen.
type SaveState uint8

// The states of details and thumbnail.
const (
	Saved SaveState = iota
	Unsaved
	Saving
	SaveFailed // Item.SaveErr says why
)

// Item is one file of a Queue at one moment: a copy that does not change.
type Item struct {
	Key      int      // names the item in this queue
	ID       video.ID // zero until the pod knows the upload
	FileName string
	Size     int64 // bytes

	State   State
	Bytes   int64         // went up, those of earlier pages included
	Sent    int64         // the same with what was sent in vain
	Resumed int64         // of Bytes, how many the pod had when the file was chosen
	Speed   float64       // bytes per second
	Left    time.Duration // 0 is not known
	Err     *api.Error    // of Failed and Retrying
	RetryAt time.Time

	Details   Details
	Typed     bool // the details are a person's, not the file's name or the pod's
	SaveState SaveState
	SaveErr   *api.Error

	Looking bool // the preview is not there yet
	Preview Preview
	Chosen  int // of Preview.Pictures; -1 leaves it to the pod

	Video   *api.Video // of Done, once the pod told
	Seeding bool       // this device gives the file on
}

// Ended says that no byte will go up any more unless a person asks.
func (it Item) Ended() bool { return it.State == Done || it.State == Failed }

// Fraction is how much of the file went up, 0..1.
func (it Item) Fraction() float64 {
	if it.Size == 0 {
		return 0
	}
	return float64(it.Bytes) / float64(it.Size)
}

// item is an Item with what the queue needs to move it. Guarded by Queue.mu, but
// for what is immutable.
type item struct {
	file   *File
	wake   chan struct{} // ends a wait of the transfer
	edited chan struct{} // details, picture or id changed
	ctx    context.Context
	stop   context.CancelFunc // the item leaves the queue

	Item
	working bool                    // a goroutine checks or sends it
	halt    context.CancelCauseFunc // of the transfer under way; nil is none
	looked  bool                    // a goroutine makes its preview, or did

	mime    string
	print   string // fingerprint; "" until checked
	release func() // gives the fingerprint up; nil while it is not held
	goesOn  bool   // ID is of an earlier page, and the pod was not asked yet
	gone    bool   // the pod no longer knows the upload
	ledger  ledger
	meter   meter
	pausing bool

	saved    fields // what the pod has
	sure     bool   // that it has that
	shown    int    // the picture that the pod has; -1 is none
	wanted   int    // the picture chosen on an earlier page, from 1; 0 is none
	quietAt  time.Time
	stopSeed func()
}

// restart makes the next attempt begin with a new upload.
func (it *item) restart() {
	it.ID, it.gone, it.sure, it.shown = video.ID{}, false, false, -1
	it.Bytes, it.Sent, it.Resumed = 0, 0, 0
	it.ledger = ledger{size: it.Size}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
