package upload

import (
	"time"
	"unicode/utf8"

	"kinopod/shared/api"
	"kinopod/shared/video"
)

// quiet is how long nothing is typed before it is saved.
const quiet = 700 * time.Millisecond

// keep saves an item's details and picture whenever they differ from what the pod
// has, as long as the item is in the queue.
func (q *Queue) keep(it *item) {
	failures := 0
	for {
		todo := q.unsaved(it)
		if todo.nothing() {
			if !rest(it, todo.in) {
				return
			}
			continue
		}
		err := q.save(it, todo)
		if it.ctx.Err() != nil {
			return
		}
		if err == nil {
			failures = 0
			continue
		}
		e := api.AsError(err)
		q.change(func() { it.SaveState, it.SaveErr = SaveFailed, e })
		again := time.Duration(0)
		if mends(e.Code) {
			again = min(2*time.Second<<min(failures, 4), longestWait)
			failures++
		}
		if !rest(it, again) {
			return
		}
	}
}

// rest waits for a change, or for d where that is not 0; it is false where the
// item left the queue.
func rest(it *item, d time.Duration) bool {
	var timeout <-chan time.Time
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-it.edited:
	case <-timeout:
	case <-it.ctx.Done():
		return false
	}
	return true
}

// mends says whether saving may succeed later without the person changing
// anything. Not found and conflict are what an upload answers in the moment in
// which it becomes a video.
func mends(c api.Code) bool {
	switch c {
	case api.CodeInvalid, api.CodeUnauthorized, api.CodeForbidden, api.CodeTooLarge, api.CodeUnsupported:
		return false
	}
	return true
}

// unsavedWork is what the pod should be told next.
type unsavedWork struct {
	id      video.ID
	edit    *api.VideoEdit
	want    fields
	picture int // -1 is none
	webp    []byte
	in      time.Duration // where there is nothing to do yet: how soon; 0 is unknown
}

func (u unsavedWork) nothing() bool { return u.edit == nil && u.picture < 0 }

// unsaved finds what to do, and sets SaveState where that is nothing.
func (q *Queue) unsaved(it *item) unsavedWork {
	todo := unsavedWork{picture: -1}
	q.change(func() {
		if !it.sure || it.ID.IsZero() {
			return
		}
		if d := time.Until(it.quietAt); d > 0 {
			todo.in = d
			return
		}
		todo.id = it.ID
		if it.Chosen >= 0 && it.Chosen != it.shown {
			todo.picture, todo.webp = it.Chosen, it.Preview.Pictures[it.Chosen].WebP
		}
		want, err := it.Details.clean(q.mostDescription(), it.saved)
		todo.want = want
		edit, differs := want.edit(it.saved)
		switch {
		case differs:
			todo.edit = &edit
			it.SaveState, it.SaveErr = Saving, nil
		case err != nil: // what is right was saved
			it.SaveState, it.SaveErr = SaveFailed, api.AsError(err)
		case todo.picture < 0:
			it.SaveState, it.SaveErr = Saved, nil
		}
	})
	return todo
}

// mostDescription is the largest number of runes of a description here; called
// with the queue locked.
func (q *Queue) mostDescription() int {
	if n := q.pod.Limits.DescriptionRunes; n > 0 {
		return n
	}
	return video.MaxDescription
}

// save tells the pod.
func (q *Queue) save(it *item, todo unsavedWork) error {
	if todo.edit != nil {
		if _, err := q.cfg.API.EditVideo(it.ctx, todo.id, *todo.edit); err != nil {
			return err
		}
		q.change(func() { it.saved = todo.want })
	}
	if todo.picture < 0 {
		return nil
	}
	if err := q.cfg.API.SetThumbnail(it.ctx, todo.id, todo.webp); err != nil {
		return err
	}
	q.change(func() {
		it.shown = todo.picture
		q.remember(it)
	})
	return nil
}

// said is what the metadata of a new upload says of it: the details, and for what is
// wrong in them what the file's name tells. Called with the queue locked.
func (it *item) said(most int) fields {
	byName, _ := detailsOf(it.FileName).clean(most, fields{}) // in order by construction
	f, _ := it.Details.clean(most, byName)
	return f
}

// announced is said, as far as a header has room for it: a long description is saved
// once the pod knows of the file.
func (it *item) announced(most int) fields {
	f := it.said(most)
	if utf8.RuneCountInString(f.description) > video.MaxDescription {
		f.description = ""
	}
	return f
}
