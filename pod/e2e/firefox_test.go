package e2e

import (
	"testing"

	"kinopod/pod/podtest"
	"kinopod/shared/api"
)

// Firefox takes pieces from the pod's seeder, gives them to Chromium, and takes them from
// there: at each step only one has them to give.
func TestFirefoxInTheSwarm(t *testing.T) {
	t.Parallel()
	p := podtest.Start(t)
	v, _ := p.User(t, "anna", api.RoleUser).Film(t, podtest.MP4)
	address := p.URL + api.WatchPath(v.ID)

	p.Server().SetStreamOff(true)
	first, leave := inFirefox(t)
	must(t, first.Open(address))
	whole(t, first)
	must(t, first.Until(patience, `/Pod\s+[\d.]+ Mi?B\s+100 %/.test(document.body.innerText)`))

	p.Seeder().SetOff(true)
	second := viewer(t)
	must(t, second.Open(address))
	whole(t, second)
	must(t, second.Until(patience, `/Viewers\s+[\d.]+ Mi?B\s+100 %/.test(document.body.innerText)`))
	must(t, first.Until(patience, `/Given to others\s+[\d.]+ Mi?B/.test(document.body.innerText)`))

	leave()
	third, _ := inFirefox(t)
	must(t, third.Open(address))
	must(t, third.Until(patience, `document.querySelector("video")?.currentTime > 2`))
	whole(t, third)
	must(t, third.Until(patience, `/Viewers\s+[\d.]+ Mi?B\s+100 %/.test(document.body.innerText)`))
}
