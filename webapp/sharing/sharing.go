// Package sharing is what this viewer and this device allow in a swarm: whether the viewer
// was told of other viewers, whether they are wanted, how much may be given to them, and
// whether the connection is one where nothing should be given.
//
// What the viewer chose is kept in this browser, also for who is not logged in. The boot
// script (static/boot.js) holds it, because it tells the viewer before this program is
// there: what stands in the element TellID, once that was in sight for a second or was
// answered.
package sharing

import (
	"encoding/json"

	"kinopod/webapp/swarm"
)

// TellID is the id of the element that tells the viewer. It is seen as long as the document's
// root has data-tell; buttons in it have data-told "yes" or "alone".
const TellID = "tell"

// State is what holds at a moment.
type State struct {
	Choice
	Line
}

// Choice is what the viewer chose. Its zero value is that of a first visit.
type Choice struct {
	Told     bool `json:"told"`               // that others see the viewer's address and get parts of the film
	Alone    bool `json:"alone,omitempty"`    // without other viewers
	Metered  bool `json:"metered,omitempty"`  // gives on metered connections as well
	Megabits int  `json:"megabits,omitempty"` // a second that may be given; 0 is no limit
}

// Caps are the values of Choice.Megabits that are offered.
var Caps = []int{0, 1, 2, 5, 10}

// most bounds Choice.Megabits.
const most = 1000

// Parse reads what String wrote. What cannot be read is a first visit.
func Parse(s string) Choice {
	var c Choice
	if json.Unmarshal([]byte(s), &c) != nil {
		return Choice{}
	}
	c.Megabits = min(most, max(0, c.Megabits))
	return c
}

// String is the form in which a choice is kept.
func (c Choice) String() string {
	b, err := json.Marshal(c)
	if err != nil {
		return "" // a struct of bools and numbers
	}
	return string(b)
}

// Line is what the browser says of the connection: nothing, in many browsers.
type Line struct {
	SaveData bool   // the viewer asks all pages to save
	Type     string // "cellular", "wifi", ...
	Speed    string // "slow-2g", "2g", "3g", "4g": as slow as that
}

// Reason says why nothing is given to others, or that something is.
type Reason uint8

// The reasons.
const (
	Gives    Reason = iota
	NotTold         // the viewer is being told
	Alone           // the viewer wants no company
	SaveData        // the viewer wants to save data
	Cellular        // mobile data
	Slow            // hardly enough for the viewer
)

// Why says whether something is given, or why not.
func (s State) Why() Reason {
	switch {
	case s.Choice.Alone:
		return Alone
	case !s.Told:
		return NotTold
	case s.Metered:
		return Gives
	case s.SaveData:
		return SaveData
	case s.Type == "cellular":
		return Cellular
	case s.Speed == "slow-2g" || s.Speed == "2g":
		return Slow
	}
	return Gives
}

// Terms is what an engine may do.
func (s State) Terms() swarm.Terms {
	t := swarm.Terms{UploadRate: int64(s.Megabits) * 1e6 / 8}
	switch s.Why() {
	case Gives:
	case Alone:
		t.Company = swarm.Alone
	case NotTold:
		t.Company = swarm.Soon
	default:
		t.NoUpload = true
	}
	return t
}
