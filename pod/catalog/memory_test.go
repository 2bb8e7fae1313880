package catalog_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kinopod/pod/catalog"
	"kinopod/pod/catalog/catalogtest"
	"kinopod/shared/magnet"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

// memory is a Store for the tests of the rules.
type memory struct {
	mu     sync.Mutex
	videos []entry // in the order of Seq
	next   uint32
	gone   map[video.ID]bool
	files  []magnet.InfoHash
	thumbs []string
	texts  map[video.ID]string
	fail   error // what Page and Add answer, if not nil
}

type entry struct {
	video.Video
	seq uint32
}

var _ catalog.Store = (*memory)(nil)

func TestMemoryIsAStore(t *testing.T) {
	catalogtest.TestStore(t, func(testing.TB) catalog.Store { return &memory{gone: map[video.ID]bool{}} })
}

func (m *memory) find(fits func(entry) bool) int {
	return slices.IndexFunc(m.videos, fits)
}

func byID(id video.ID) func(entry) bool { return func(e entry) bool { return e.ID == id } }

func (m *memory) drop(v *video.Video) {
	for _, r := range v.Renditions {
		if v.Origin == ours && m.find(byFile(ours, r.InfoHash)) < 0 && !slices.Contains(m.files, r.InfoHash) {
			m.files = append(m.files, r.InfoHash)
		}
	}
	if v.Thumbnail != "" && m.find(func(e entry) bool { return e.Thumbnail == v.Thumbnail }) < 0 && !slices.Contains(m.thumbs, v.Thumbnail) {
		m.thumbs = append(m.thumbs, v.Thumbnail)
	}
}

func (m *memory) need(v *video.Video) {
	for _, r := range v.Renditions {
		m.files = slices.DeleteFunc(m.files, func(h magnet.InfoHash) bool { return h == r.InfoHash })
	}
	m.thumbs = slices.DeleteFunc(m.thumbs, func(h string) bool { return h == v.Thumbnail })
}

// ours is the one pod that has files.
const ours = network.Host("pod.example")

func byFile(origin network.Host, h magnet.InfoHash) func(entry) bool {
	return func(e entry) bool {
		return (origin == "" || e.Origin == origin) && slices.ContainsFunc(e.Renditions, func(r video.Rendition) bool { return r.InfoHash == h })
	}
}

func (m *memory) Add(_ context.Context, v video.Video) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return false, m.fail
	}
	if m.gone[v.ID] {
		m.drop(&v)
		return false, catalog.ErrWithdrawn
	}
	if m.find(byID(v.ID)) >= 0 {
		return false, nil
	}
	m.next++
	if v.Revision == 0 {
		v.Revision = time.Now().UnixMilli()
	}
	v.Created = v.Created.UTC().Truncate(time.Millisecond)
	m.keepText(&v)
	m.videos = append(m.videos, entry{v, m.next})
	m.need(&v)
	return true, nil
}

// keepText takes the text out of a video and keeps it beside.
func (m *memory) keepText(v *video.Video) {
	if m.texts == nil {
		m.texts = map[video.ID]string{}
	}
	m.texts[v.ID], v.Text = v.Text, ""
}

func (m *memory) Text(ctx context.Context, id video.ID) (string, error) {
	v, err := m.Get(ctx, id)
	m.mu.Lock()
	defer m.mu.Unlock()
	v.Text = m.texts[id]
	return v.WholeText(), err
}

func (m *memory) one(fits func(entry) bool) (video.Video, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.find(fits)
	if i < 0 {
		return video.Video{}, catalog.ErrNotFound
	}
	v := m.videos[i].Video
	v.Tags = slices.Clone(v.Tags)
	return v, nil
}

func (m *memory) Get(_ context.Context, id video.ID) (video.Video, error) { return m.one(byID(id)) }

func (m *memory) ByInfoHash(_ context.Context, origin network.Host, h magnet.InfoHash) (video.Video, error) {
	return m.one(byFile(origin, h))
}

func (m *memory) Page(_ context.Context, l catalog.Listing) (page []video.Video, next *catalog.Position, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	order := slices.Clone(m.videos)
	slices.SortFunc(order, func(a, b entry) int {
		if c := b.Created.Compare(a.Created); c != 0 {
			return c
		}
		return int(b.seq) - int(a.seq)
	})
	for _, e := range order {
		if p := l.After; p != nil && (e.Created.After(p.Created) || e.Created.Equal(p.Created) && e.seq >= p.Seq) {
			continue
		}
		if l.Origin != "" && e.Origin != l.Origin || l.Uploader != "" && !strings.EqualFold(e.Uploader, l.Uploader) {
			continue
		}
		if len(page) == l.Limit {
			return page, next, m.fail
		}
		page, next = append(page, e.Video), &catalog.Position{Created: e.Created, Seq: e.seq}
	}
	return page, nil, m.fail
}

func (m *memory) BySeq(_ context.Context, seqs []uint32) (out []catalog.Numbered, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range seqs {
		if i := m.find(func(e entry) bool { return e.seq == n }); i >= 0 {
			out = append(out, catalog.Numbered{Seq: n, Video: m.videos[i].Video})
		}
	}
	return out, nil
}

func (m *memory) Update(_ context.Context, id video.ID, change func(*video.Video) error) (video.Video, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.find(byID(id))
	if i < 0 {
		return video.Video{}, catalog.ErrNotFound
	}
	old := m.videos[i].Video
	old.Text = m.texts[id]
	v := old
	v.Tags = slices.Clone(v.Tags)
	if err := change(&v); err != nil {
		return video.Video{}, err
	}
	kept := old
	kept.Name, kept.Description, kept.Text, kept.Tags, kept.Thumbnail = v.Name, v.Description, v.Text, v.Tags, v.Thumbnail
	if kept.Text != old.Text || !slices.Equal(kept.Tags, old.Tags) || kept.Name != old.Name || kept.Description != old.Description || kept.Thumbnail != old.Thumbnail {
		kept.Revision = max(old.Revision+1, time.Now().UnixMilli())
	}
	m.keepText(&kept)
	m.videos[i].Video = kept
	m.drop(&old)
	m.need(&kept)
	return kept, nil
}

func (m *memory) Withdraw(_ context.Context, id video.ID, allow func(*video.Video) error) (video.Video, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.find(byID(id))
	if i < 0 {
		return video.Video{}, catalog.ErrNotFound
	}
	v := m.videos[i].Video
	if err := allow(&v); err != nil {
		return video.Video{}, err
	}
	m.videos = slices.Delete(m.videos, i, i+1)
	m.gone[id] = true
	m.drop(&v)
	return v, nil
}

func (m *memory) Take(_ context.Context, videos ...video.Video) (all []catalog.Outcome, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, v := range videos {
		all = append(all, m.take(v))
	}
	return all, nil
}

func (m *memory) take(v video.Video) catalog.Outcome {
	if m.gone[v.ID] {
		return catalog.Withdrawn
	}
	i := m.find(byID(v.ID))
	if i < 0 {
		m.next++
		m.videos = append(m.videos, entry{v, m.next})
		m.need(&v)
		return catalog.Taken
	}
	old := m.videos[i].Video
	switch {
	case old.Origin != v.Origin:
		return catalog.Foreign
	case v.Revision <= old.Revision:
		return catalog.Known
	}
	m.videos[i].Video = v
	m.drop(&old)
	m.need(&v)
	return catalog.Taken
}

func (m *memory) Drop(_ context.Context, origin network.Host, id video.ID, final bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.find(byID(id))
	if i < 0 || m.videos[i].Origin != origin {
		return catalog.ErrNotFound
	}
	v := m.videos[i].Video
	m.videos = slices.Delete(m.videos, i, i+1)
	if final {
		m.gone[id] = true
	}
	m.drop(&v)
	return nil
}

func (m *memory) DropSome(_ context.Context, origin network.Host, most int) (dropped int, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for ; dropped < most; dropped++ {
		i := m.find(func(e entry) bool { return e.Origin == origin })
		if i < 0 {
			break
		}
		v := m.videos[i].Video
		m.videos = slices.Delete(m.videos, i, i+1)
		m.drop(&v)
	}
	return dropped, nil
}

func (m *memory) Marks(_ context.Context, origin network.Host, each func([]catalog.Mark) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var marks []catalog.Mark
	for _, e := range m.videos {
		if e.Origin == origin {
			marks = append(marks, catalog.Mark{ID: e.ID, Revision: e.Revision})
		}
	}
	return each(marks)
}

func (m *memory) Count(_ context.Context, origin network.Host) (n int, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.videos {
		if e.Origin == origin {
			n++
		}
	}
	return n, nil
}

func (m *memory) Withdrawn(context.Context) ([]magnet.InfoHash, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.files), nil
}

func (m *memory) Deleted(_ context.Context, h magnet.InfoHash) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files = slices.DeleteFunc(m.files, func(f magnet.InfoHash) bool { return f == h })
	return nil
}

func (m *memory) UnusedThumbnails(context.Context) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.thumbs), nil
}

func (m *memory) ByThumbnail(_ context.Context, hash string) (video.Video, error) {
	return m.one(func(e entry) bool { return e.Thumbnail == hash })
}

func (m *memory) Unclaimed(_ context.Context, hashes []string) (out []string, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, hash := range hashes {
		if m.find(func(e entry) bool { return e.Thumbnail == hash }) < 0 {
			out = append(out, hash)
		}
	}
	return out, nil
}

func (m *memory) ThumbnailDeleted(_ context.Context, hash string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.thumbs = slices.DeleteFunc(m.thumbs, func(f string) bool { return f == hash })
	return nil
}
