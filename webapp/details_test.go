package webapp

import (
	"context"
	"strings"
	"testing"

	"kinopod/shared/api"
	"kinopod/shared/video"
)

// saga is a description that lists have no room for.
var saga = strings.Repeat("A long film about a long way. ", 200) + "The end."

// answerDetails has the pod answer with f from now on.
func (p *fakePod) answerDetails(f func() (api.Details, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.details = f
}

// The rest of a description, and what the uploader says, come after the page: what is
// there before does not move, and where they cannot be had there is a way to try again.
func TestDetailsComeLater(t *testing.T) {
	s := newSite(t, 3)
	v := &s.videos[0]
	var film video.Video
	film.SetText(saga)
	v.Origin, v.Description = "other.example", film.Description
	away := func() (api.Details, error) { return api.Details{}, fail(api.CodeUnavailable, "That pod sleeps.") }
	s.answerDetails(away)
	p := s.visit(t, api.WatchPath(v.ID), false)
	until(t, p, "document.querySelector('.uploader-about').textContent.includes('That pod sleeps.')")
	click(t, p, ".more button")
	until(t, p, "document.querySelector('.more [role=alert]')?.textContent.includes('That pod sleeps.')")

	wait := make(chan struct{})
	s.answerDetails(func() (api.Details, error) {
		<-wait
		return api.Details{Description: saga, Uploader: video.Profile{Name: "Grace H.", About: "Films ships.\nSee https://example.org/ships."}}, nil
	})
	// The lock of the fake is held while it waits: nothing else is asked of it here.
	click(t, p, ".more button")
	until(t, p, "document.querySelector('.more button').disabled && document.querySelector('.uploader-about.skeleton')")
	const places = `['.video-name', '.description', '.more', '.facts', '.uploader', '.uploader-about'].map(s => Math.round(document.querySelector(s).getBoundingClientRect().top + scrollY)).join(' ')`
	eval[any](t, p, "document.querySelector('.more button').textContent")
	before := eval[string](t, p, places)
	close(wait)
	until(t, p, "document.querySelector('.uploader-name').textContent === 'Grace H.'")
	until(t, p, "document.querySelector('.description').textContent.endsWith('The end.')")
	if got := eval[string](t, p, "document.querySelector('.uploader-about a').href"); got != "https://example.org/ships" {
		t.Errorf("the address in it leads to %s", got)
	}
	click(t, p, ".more button")
	until(t, p, "document.querySelector('.description').textContent.endsWith('…')")
	if after := eval[string](t, p, places); after != before {
		t.Errorf("what is on the page was at %s, and is at %s", before, after)
	}
	s.answerDetails(nil)
	if said := complaints(p); len(said) > 2 { // the two answers that were refusals
		t.Errorf("the console: %s", strings.Join(said, "\n"))
	}
}

// Whoever edits a long description has all of it before them, and what is not changed is
// not sent.
func TestEditingALongDescription(t *testing.T) {
	s := newSite(t, 1)
	v := &s.videos[0]
	var film video.Video
	film.SetText(saga)
	v.Description = film.Description
	s.answerDetails(func() (api.Details, error) { return api.Details{Description: saga}, nil })
	p := s.visit(t, api.WatchPath(v.ID), true)
	click(t, p, "#edit-video")
	field := "#edit-" + v.ID.String()
	until(t, p, "document.querySelector('"+field+"-about')?.value.endsWith('The end.')")
	write(t, p, field+"-name", "Renamed")
	click(t, p, "main form button[type=submit]")
	until(t, p, "document.querySelector('h1').textContent === 'Renamed'")
	if got, _ := (caller{s.fakePod, ""}).Video(context.Background(), v.ID); got.Description != film.Description {
		t.Errorf("the description became %.40q", got.Description)
	}
	click(t, p, "#edit-video")
	until(t, p, "document.querySelector('"+field+"-about')?.value.endsWith('The end.')")
	write(t, p, field+"-about", "Short.")
	click(t, p, "main form button[type=submit]")
	until(t, p, "document.querySelector('.description')?.textContent === 'Short.' && !document.querySelector('.more')")
}

func TestProfile(t *testing.T) {
	s := newSite(t, 1)
	p := s.visit(t, "/account", true)
	write(t, p, "#profile-name", "Ada L.")
	write(t, p, "#profile-about", strings.Repeat("x", video.MaxAbout+1))
	click(t, p, "form[aria-label='Change what others see of you'] button[type=submit]")
	until(t, p, "document.querySelector('form[aria-label=\"Change what others see of you\"] .problem')")
	write(t, p, "#profile-about", "Counts.\nAnd sees.")
	click(t, p, "form[aria-label='Change what others see of you'] button[type=submit]")
	until(t, p, "document.body.textContent.includes('Saved.')")
	s.open(t, p, "/account")
	until(t, p, "document.querySelector('#profile-name')?.value + '|' + document.querySelector('#profile-about')?.value === 'Ada L.|Counts.\\nAnd sees.'")
	s.open(t, p, api.WatchPath(s.videos[0].ID))
	until(t, p, "document.querySelector('.uploader-name').textContent === 'Ada L.'")
}
