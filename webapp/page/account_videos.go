package page

import (
	"context"
	"slices"
	"time"

	"github.com/maxence-charriere/go-app/v9/pkg/app"

	"kinopod/shared/api"
	"kinopod/shared/video"
)

// myVideos lists the viewer's videos; each can be edited in its row, and removed.
type myVideos struct {
	component

	env    *Env
	list   content[feed]
	more   content[api.VideoPage]
	edited *edit // nil unless one is being edited
	remove question
}

func (m *myVideos) query(cursor string) api.VideosQuery {
	return api.VideosQuery{Origin: m.env.Pod.Host, Uploader: m.env.username(), Cursor: cursor, Limit: listed}
}

func (m *myVideos) get(ctx context.Context) (feed, error) {
	p, err := m.env.API.Videos(ctx, m.query(""))
	return feed{Videos: p.Videos, Cursor: p.Cursor}, err
}

// OnMount implements app.Mounter.
func (m *myVideos) OnMount(ctx app.Context) {
	m.ctx = ctx
	if !m.list.Done {
		m.load()
	}
}

func (m *myVideos) load() {
	load(m.ctx, &m.list, m.get, nil)
}

func (m *myVideos) loadMore() {
	cursor := m.list.Value.Cursor
	load(m.ctx, &m.more, func(c context.Context) (api.VideoPage, error) { return m.env.API.Videos(c, m.query(cursor)) }, func() {
		if m.more.Err == nil && m.list.Value.Cursor == cursor {
			m.list.Value.Videos = append(slices.Clip(m.list.Value.Videos), fresh(m.list.Value.Videos, m.more.Value.Videos)...)
			m.list.Value.Cursor = m.more.Value.Cursor
		}
	})
}

// Render implements app.Composer.
func (m *myVideos) Render() app.UI {
	return section("my-videos", "Your videos", m.body(), &m.remove)
}

func (m *myVideos) body() app.UI {
	videos := m.list.Value.Videos
	switch {
	case !m.list.Done && m.list.Err != nil:
		return failure(m.list.Err, m.load)
	case !m.list.Done:
		return busyText("Loading…")
	case len(videos) == 0:
		return nothing(iconFilm, "Nothing published yet", "Videos that you upload appear here.", elem("a").Class("button").Attr("href", "/upload").Text("Upload a video"))
	}
	return elem("div").Body(
		elem("ul").Class("rows").Body(app.Range(videos).Slice(func(i int) app.UI { return m.row(videos[i]) })),
		m.end(),
	)
}

func (m *myVideos) end() app.UI {
	switch {
	case m.more.Err != nil:
		return failure(m.more.Err, m.loadMore)
	case m.list.Value.Cursor == "":
		return nil
	}
	return elem("button").Attr("type", "button").Class("button quiet").Text("More").OnClick(func(app.Context, app.Event) { m.loadMore() })
}

func (m *myVideos) row(v api.Video) app.UI {
	if m.edited != nil && m.edited.video.ID == v.ID {
		return elem("li").Class("row-edit").Body(m.edited)
	}
	size := int64(0)
	for _, r := range v.Renditions {
		size += r.Size
	}
	return elem("li").Class("row-video").Body(
		elem("a").Class("row-thumb").Attr("href", api.WatchPath(v.ID)).TabIndex(-1).Aria("hidden", true).Body(thumbnail(v, false)),
		elem("div").Class("row-text").Body(
			elem("a").Class("row-name").Dir("auto").Attr("href", api.WatchPath(v.ID)).Text(v.Name),
			elem("p").Class("dim").Text(formatDate(v.Created)+" · "+formatBytes(size)),
		),
		elem("div").Class("actions").Body(
			// The scope is the video: rows move when one is removed.
			elem("button").ID(editButton(v.ID)).Attr("type", "button").Class("button quiet small").Aria("label", "Edit "+v.Name).Body(icon(iconEdit), elem("span").Class("wide-only").Text("Edit")).
				OnClick(func(app.Context, app.Event) { m.onEdit(v) }, v.ID, v.Name, v.Description, v.Tags),
			elem("button").Attr("type", "button").Class("button quiet small danger").Aria("label", "Remove "+v.Name).Body(icon(iconRemove), elem("span").Class("wide-only").Text("Remove")).
				OnClick(func(app.Context, app.Event) { m.onRemove(v) }, v.ID, v.Name),
		),
	)
}

func editButton(id video.ID) string { return "edit-button-" + id.String() }

func (m *myVideos) onEdit(v api.Video) {
	m.edited = newEdit(m.env, v, func(changed *api.Video) {
		m.edited = nil
		if changed != nil {
			for i := range m.list.Value.Videos {
				if m.list.Value.Videos[i].ID == changed.ID {
					m.list.Value.Videos[i] = *changed
				}
			}
		}
		m.Update()
		m.ctx.Defer(func(app.Context) { focus(editButton(v.ID)) })
	})
}

func (m *myVideos) onRemove(v api.Video) {
	m.remove.ask("Remove this video?", "“"+v.Name+"” leaves the list, the swarm and the disk. Nobody can bring it back.", "Remove", func() {
		do(m.ctx, func(c context.Context) error { return m.env.API.RemoveVideo(c, v.ID) }, func(err error) {
			if err != nil {
				m.remove.fail(err)
				return
			}
			m.list.Value.Videos = without(m.list.Value.Videos, func(o api.Video) video.ID { return o.ID }, v.ID)
			m.edited = nil // its row moves, and a mounted component cannot
			m.env.forget(v.ID)
			m.env.say("Removed.")
			m.remove.close()
			m.Update()
		})
	})
}

// without is list without what has this id.
func without[T any, K comparable](list []T, idOf func(T) K, id K) []T {
	return slices.DeleteFunc(slices.Clone(list), func(v T) bool { return idOf(v) == id })
}

// myUploads lists uploads that were begun and not finished.
type myUploads struct {
	component

	env    *Env
	list   content[[]api.Upload]
	remove question
}

func (m *myUploads) get(ctx context.Context) ([]api.Upload, error) { return m.env.API.Uploads(ctx) }

// OnMount implements app.Mounter.
func (m *myUploads) OnMount(ctx app.Context) {
	m.ctx = ctx
	if !m.list.Done {
		m.load()
	}
}

func (m *myUploads) load() {
	load(m.ctx, &m.list, m.get, func() { m.env.check(m.list.Err) })
}

// Render implements app.Composer. Without unfinished uploads there is nothing to see.
func (m *myUploads) Render() app.UI {
	// The dialog keeps its place: go-app would mount it a second time in another.
	return elem("div").Class("my-uploads").Body(elem("div").Class("slot").Body(m.body()), &m.remove)
}

func (m *myUploads) body() app.UI {
	uploads := m.list.Value
	switch {
	case m.list.Err != nil && !m.list.Done:
		return section("my-uploads", "Unfinished uploads", failure(m.list.Err, m.load))
	case len(uploads) == 0:
		return nil
	}
	return section("my-uploads", "Unfinished uploads",
		elem("p").Class("dim").Text("Choose the same file again, and the upload goes on where it stopped."),
		elem("ul").Class("rows").Body(app.Range(uploads).Slice(func(i int) app.UI { return m.row(uploads[i]) })),
	)
}

func (m *myUploads) row(u api.Upload) app.UI {
	name := u.Name
	if name == "" {
		name = u.FileName
	}
	return elem("li").Class("row-upload").Body(
		elem("div").Class("row-text").Body(
			elem("p").Class("row-name").Dir("auto").Text(name),
			elem("progress").Attr("max", float64(max(u.Size, 1))).Attr("value", u.Offset).Aria("label", "Received of "+name),
			elem("p").Class("dim").Text(formatBytes(u.Offset)+" of "+formatBytes(u.Size)+" · kept until "+formatDate(u.Expires.In(time.Local))),
		),
		elem("div").Class("actions").Body(
			elem("a").Class("button quiet small").Attr("href", "/upload").Text("Continue").Aria("label", "Continue "+name),
			elem("button").Attr("type", "button").Class("button quiet small danger").Text("Discard").Aria("label", "Discard "+name).
				OnClick(func(app.Context, app.Event) { m.onRemove(u, name) }, u.ID, name),
		),
	)
}

func (m *myUploads) onRemove(u api.Upload, name string) {
	m.remove.ask("Discard this upload?", "What has arrived of “"+name+"” is deleted.", "Discard", func() {
		do(m.ctx, func(c context.Context) error { return m.env.API.RemoveVideo(c, u.ID) }, func(err error) {
			if err != nil {
				m.remove.fail(err)
				return
			}
			m.list.Value = without(m.list.Value, func(o api.Upload) video.ID { return o.ID }, u.ID)
			m.env.say("Discarded.")
			m.remove.close()
			m.Update()
		})
	})
}
