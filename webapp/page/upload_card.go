package page

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/maxence-charriere/go-app/v9/pkg/app"

	"kinopod/shared/api"
	"kinopod/shared/video"
	"kinopod/webapp/upload"
)

const (
	iconPause = `<path d="M7 5h4v14H7zm6 0h4v14h-4z"/>`
	iconPlay  = `<path d="M8 5v14l11-7z"/>`
	iconRetry = `<path d="M12 5a7 7 0 1 0 6.7 9h-2.1A5 5 0 1 1 12 7c1.4 0 2.6.6 3.5 1.5L13 11h7V4l-3 3a7 7 0 0 0-5-2z"/>`
	iconClose = `<path d="m6.4 5 5.6 5.6L17.6 5 19 6.4 13.4 12l5.6 5.6-1.4 1.4-5.6-5.6L6.4 19 5 17.6l5.6-5.6L5 6.4z"/>`
)

// card is one file of the queue. Handlers have its key as their scope: cards move when
// one is taken away.
func (u *uploads) card(it upload.Item) app.UI {
	begun := !(it.State == upload.Failed && it.ID.IsZero()) && !refused(it)
	return elem("li").Class("panel up").DataSet("state", it.State.String()).DataSet("key", it.Key).Aria("label", it.FileName).Body(
		elem("div").Class("up-top").Body(
			elem("div").Class("up-title").Body(
				elem("p").Class("up-name").Dir("auto").Text(it.Details.Name),
				elem("p").Class("dim up-file").Dir("auto").Text(fileLine(it)),
			),
			elem("div").Class("actions").Body(u.buttons(it)),
		),
		elem("progress").Attr("hidden", !begun).Attr("max", 1000).Attr("value", int(it.Fraction()*1000)).Aria("label", "Uploaded of "+it.FileName),
		u.status(it),
		slot(begun && it.Preview.Refused, elem("p").Class("up-warning").Text(
			"This browser cannot play the file, so many viewers could not either. MP4 with H.264 and AAC, and WebM, play everywhere.")),
		slot(it.State == upload.Done, u.published(it)),
		slot(begun, elem("div").Class("up-body").Body(u.pictures(it), u.details(it))),
	)
}

// refused says that the pod will never take the file: there is nothing more to say of it.
func refused(it upload.Item) bool {
	return it.State == upload.Failed && (it.Err.Code == api.CodeUnsupported || it.Err.Code == api.CodeInvalid && (it.ID.IsZero() || it.Bytes >= it.Size))
}

// fileLine is what is known of the file itself.
func fileLine(it upload.Item) string {
	parts := []string{it.FileName, formatBytes(it.Size)}
	if it.Preview.Duration > 0 {
		parts = append(parts, formatDuration(it.Preview.Duration))
	}
	if it.Preview.Width > 0 {
		parts = append(parts, strconv.Itoa(it.Preview.Width)+" × "+strconv.Itoa(it.Preview.Height))
	}
	return strings.Join(parts, " · ")
}

// buttons are what can be done with a file in its state.
func (u *uploads) buttons(it upload.Item) app.UI {
	var out []app.UI
	button := func(picture, text string, do func(key int)) {
		out = append(out, elem("button").Attr("type", "button").Class("button quiet small").Aria("label", text+" "+it.FileName).
			Body(icon(picture), elem("span").Class("wide-only").Text(text)).
			OnClick(func(app.Context, app.Event) { do(it.Key) }, it.Key, text))
	}
	switch it.State {
	case upload.Waiting, upload.Sending, upload.Finishing:
		button(iconPause, "Pause", u.queue.Pause)
	case upload.Retrying:
		button(iconRetry, "Try now", u.queue.Resume)
		button(iconPause, "Pause", u.queue.Pause)
	case upload.Paused:
		button(iconPlay, "Resume", u.queue.Resume)
	case upload.Failed:
		if it.Err.Code == api.CodeUnauthorized {
			out = append(out, elem("button").Attr("type", "button").Class("button small").Text("Log in").
				OnClick(func(app.Context, app.Event) { u.logIn() }, it.Key))
			break
		}
		if it.Err.Code != api.CodeUnsupported && it.Err.Code != api.CodeInvalid {
			button(iconRetry, "Try again", u.queue.Resume)
		}
	}
	if it.State == upload.Failed && (refused(it) || it.ID.IsZero()) {
		button(iconClose, "Dismiss", u.onClose)
		return elem("div").Class("actions").Body(out...)
	}
	name := pick(it.State == upload.Done, "Close", "Discard")
	out = append(out, elem("button").Attr("type", "button").Class("quiet icon-only").Aria("label", name+" "+it.FileName).Title(name).Body(icon(iconClose)).
		OnClick(func(app.Context, app.Event) { u.onClose(it.Key) }, it.Key))
	return elem("div").Class("actions").Body(out...)
}

// logIn leads to the log-in page: the pod says that the session has ended.
func (u *uploads) logIn() {
	u.env.setMe(nil)
	u.env.frame.setHead()
}

// onClose takes a file out of the queue; what would be lost is asked for first.
func (u *uploads) onClose(key int) {
	for _, it := range u.items() {
		if it.Key != key {
			continue
		}
		if it.State == upload.Done || it.ID.IsZero() || refused(it) {
			u.close(key)
			return
		}
		u.ask.ask("Discard this upload?", "What has arrived of “"+it.FileName+"” is deleted.", "Discard", func() {
			u.close(key)
			u.ask.close()
		})
	}
}

func (u *uploads) close(key int) {
	u.queue.Cancel(key)
	delete(u.shown, key)
	delete(u.states, key)
	// The cards behind it moved up; their fields still say what the ones before said.
	u.ctx.Defer(func(app.Context) {
		for _, it := range u.items() {
			for id, text := range map[string]string{"name": it.Details.Name, "about": it.Details.Description, "tags": it.Details.Tags} {
				if e := element(fieldID(it.Key, id)); e.Truthy() {
					e.Set("value", text)
				}
			}
		}
		focus("choose-files")
	})
}

// status is one line on where a file is.
func (u *uploads) status(it upload.Item) app.UI {
	if it.State == upload.Failed {
		return problem(it.Err)
	}
	return elem("p").Class("up-status").Body(
		elem("span").Class("up-state").Text(stateText(it, time.Now())),
		elem("span").Class("up-numbers").Text(numbers(it)),
	)
}

func stateText(it upload.Item, now time.Time) string {
	switch it.State {
	case upload.Checking:
		return "Looking at the file…"
	case upload.Waiting:
		return "Waits for its turn"
	case upload.Retrying:
		return retryText(it, now)
	case upload.Finishing:
		return "Preparing the video…"
	case upload.Paused:
		return "Paused at " + formatShare(it.Bytes, it.Size)
	case upload.Done:
		return "Published"
	}
	return formatShare(it.Bytes, it.Size)
}

func retryText(it upload.Item, now time.Time) string {
	why := it.Err.Message
	if !isOnline() {
		why = "You are offline."
	}
	if s := int(math.Ceil(it.RetryAt.Sub(now).Seconds())); s > 1 {
		return why + " Trying again in " + strconv.Itoa(s) + " s."
	}
	return why + " Trying again…"
}

// numbers are bytes, speed and time left.
func numbers(it upload.Item) string {
	if it.State == upload.Done || it.State == upload.Checking || it.State == upload.Waiting && it.Bytes == 0 {
		return ""
	}
	out := formatBytes(it.Bytes) + " of " + formatBytes(it.Size)
	if it.State != upload.Sending || it.Speed < 1 {
		return out
	}
	out += " · " + formatRate(it.Speed)
	if it.Left > 0 {
		out += " · " + leftText(it.Left)
	}
	return out
}

// leftText is how long something still takes, as precisely as it can be known.
func leftText(d time.Duration) string {
	switch s := int64(d.Seconds() + 0.5); {
	case s < 1:
		return "1 s left"
	case s < 60:
		return strconv.FormatInt(s, 10) + " s left"
	case s < 3600:
		return strconv.FormatInt((s+30)/60, 10) + " min left"
	default:
		return strconv.FormatInt(s/3600, 10) + " h " + strconv.FormatInt(s%3600/60, 10) + " min left"
	}
}

// pictures are the frames that one can be chosen of as thumbnail.
func (u *uploads) pictures(it upload.Item) app.UI {
	pictures := it.Preview.Pictures
	if len(pictures) == 0 {
		return elem("div").Class("up-pictures").Body(
			elem("p").Class("up-legend").Text("Thumbnail"),
			elem("div").Class("thumb", pick(it.Looking, "skeleton", "")).Body(elem("span").Class("thumb-none").Body(icon(iconFilm))),
			elem("p").Class("hint").Text(pick(it.Looking, "Looking for good pictures…", "The pod makes one.")),
		)
	}
	name := "picture-" + strconv.Itoa(it.Key)
	return elem("fieldset").Class("up-pictures").Body(
		elem("legend").Class("up-legend").Text("Thumbnail"),
		elem("span").Class("thumb up-chosen").Aria("hidden", true).Body(
			void("img").Attr("src", pictures[max(it.Chosen, 0)].URL).Attr("alt", "").Attr("width", api.ThumbnailWidth).Attr("height", api.ThumbnailHeight),
		),
		elem("div").Class("up-choice").Body(app.Range(pictures).Slice(func(i int) app.UI {
			return elem("label").Class("up-picture").Body(
				void("input").Attr("type", "radio").Class("off-screen").Attr("name", name).Attr("value", i).Attr("checked", i == it.Chosen).
					Aria("label", "Picture "+strconv.Itoa(i+1)+" of "+strconv.Itoa(len(pictures))).
					OnChange(func(app.Context, app.Event) { u.queue.Choose(it.Key, i) }, it.Key, i),
				elem("span").Class("thumb").Body(
					void("img").Attr("src", pictures[i].URL).Attr("alt", "").Attr("width", api.ThumbnailWidth).Attr("height", api.ThumbnailHeight),
				),
			)
		})),
	)
}

func fieldID(key int, name string) string { return "up-" + strconv.Itoa(key) + "-" + name }

// details are the fields for what is said of the video. They keep what they began
// with as value: a later one would undo what is being typed at that moment.
func (u *uploads) details(it upload.Item) app.UI {
	begun, ok := u.shown[it.Key]
	if !ok || !it.Typed {
		begun = it.Details
		u.shown[it.Key] = begun
	}
	most := u.env.Pod.Limits.DescriptionRunes
	if most == 0 {
		most = video.MaxDescription
	}
	set := func(change func(d *upload.Details, text string)) app.EventHandler {
		return func(ctx app.Context, _ app.Event) { u.describe(it.Key, ctx.JSSrc().Get("value").String(), change) }
	}
	name, about, tags := fieldID(it.Key, "name"), fieldID(it.Key, "about"), fieldID(it.Key, "tags")
	return elem("div").Class("up-details").Body(
		elem("div").Class("field").Body(
			elem("label").Attr("for", name).Text("Name"),
			void("input").ID(name).Attr("type", "text").Class("input").Dir("auto").Attr("required", true).Attr("autocomplete", "off").Attr("value", begun.Name).
				OnInput(set(func(d *upload.Details, text string) { d.Name = text }), it.Key),
		),
		elem("div").Class("field").Body(
			elem("label").Attr("for", about).Text("Description"),
			elem("textarea").ID(about).Class("input").Dir("auto").Attr("rows", 3).Aria("describedby", about+"-hint").Attr("value", begun.Description).
				OnInput(set(func(d *upload.Details, text string) { d.Description = text }), it.Key),
			charactersLeft(about, it.Details.Description, most),
		),
		elem("div").Class("field").Body(
			elem("label").Attr("for", tags).Text("Tags"),
			void("input").ID(tags).Attr("type", "text").Class("input").Dir("auto").Attr("autocomplete", "off").Attr("placeholder", "travel, sea, 2024").Aria("describedby", tags+"-hint").Attr("value", begun.Tags).
				OnInput(set(func(d *upload.Details, text string) { d.Tags = text }), it.Key),
			elem("p").ID(tags+"-hint").Class("hint").Text(tagsHint),
		),
		u.saving(it),
	)
}

func (u *uploads) describe(key int, text string, change func(d *upload.Details, text string)) {
	for _, it := range u.items() {
		if it.Key == key {
			d := it.Details
			change(&d, text)
			u.queue.Describe(key, d)
		}
	}
}

// saving says whether the pod has what was typed.
func (u *uploads) saving(it upload.Item) app.UI {
	line := elem("p").Class("hint up-saving").Role("status").DataSet("save", it.SaveState)
	switch {
	case it.SaveState == upload.SaveFailed && it.SaveErr.Code == api.CodeInvalid:
		return line.Class("bad").Text(it.SaveErr.Message)
	case it.SaveState == upload.SaveFailed:
		return line.Class("bad").Body(
			elem("span").Text("Could not save: "+it.SaveErr.Message+" "),
			elem("button").Attr("type", "button").Class("button quiet small").Text("Save now").OnClick(func(app.Context, app.Event) { u.queue.Save(it.Key) }, it.Key),
		)
	case it.SaveState == upload.Saving:
		return line.Text("Saving…")
	case it.SaveState == upload.Unsaved:
		return line.Text(pick(it.ID.IsZero(), "Saved as soon as the upload begins", "Saving soon…"))
	case it.ID.IsZero():
		return line.Text("")
	}
	return line.Body(icon(iconCheck), elem("span").Text("Saved"))
}

// published is what to do with a video that is there.
func (u *uploads) published(it upload.Item) app.UI {
	path := api.WatchPath(it.ID)
	body := []app.UI{
		elem("a").Class("button").Attr("href", path).Text("Watch"),
		u.copy(iconLink, "Copy link", "The link is on the clipboard.", Origin()+path, it.Key),
	}
	if it.Video != nil && it.Video.Magnet != "" {
		body = append(body, u.copy(iconMagnet, "Copy magnet", "The magnet is on the clipboard.", it.Video.Magnet, it.Key))
	}
	return elem("div").Class("up-done").Body(
		elem("div").Class("actions").Body(body...),
		app.If(it.Seeding, elem("p").Class("hint up-seeding").Body(icon(iconSwarm), elem("span").Text("While this page stays open, this browser seeds too."))),
	)
}

func (u *uploads) copy(picture, text, done, what string, key int) app.UI {
	return elem("button").Attr("type", "button").Class("button quiet").Body(icon(picture), elem("span").Text(text)).
		OnClick(func(ctx app.Context, _ app.Event) {
			copyText(u.ctx, what, func(ok bool) { u.env.say(pick(ok, done, "Your browser does not let the page copy.")) })
		}, key, what)
}
