package catalog_test

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"kinopod/pod/catalog"
	"kinopod/pod/catalog/catalogtest"
	"kinopod/shared/api"
	"kinopod/shared/magnet"
	"kinopod/shared/video"
)

var (
	anna      = catalog.Editor{Username: "Anna"} // the videos say "anna": names have no case
	mallory   = catalog.Editor{Username: "mallory"}
	moderator = catalog.Editor{Username: "mod", Moderator: true}
	nobody    = catalog.Editor{}
)

func newCatalog(t *testing.T) (*catalog.Catalog, *memory, video.Video) {
	t.Helper()
	m := &memory{gone: map[video.ID]bool{}}
	c := catalog.New(m, "pod.example", 0)
	v := catalogtest.NewVideo(1)
	if added, err := c.Add(t.Context(), v); !added || err != nil {
		t.Fatal(added, err)
	}
	return c, m, v
}

func wantCode(t *testing.T, what string, err error, code api.Code) {
	t.Helper()
	if code == "" && err == nil {
		return
	}
	var e *api.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("%s: %v, want code %q", what, err, code)
	}
}

func TestAdd(t *testing.T) {
	c, m, v := newCatalog(t)
	if added, err := c.Add(t.Context(), v); added || err != nil {
		t.Errorf("Add once more: %v, %v", added, err)
	}
	bad := catalogtest.NewVideo(2)
	bad.Renditions = nil
	_, err := c.Add(t.Context(), bad)
	wantCode(t, "a video without files", err, api.CodeInvalid)
	_, err = c.Withdraw(t.Context(), anna, v.ID)
	wantCode(t, "Withdraw", err, "")
	_, err = c.Add(t.Context(), v)
	if wantCode(t, "a withdrawn video", err, api.CodeConflict); !errors.Is(err, catalog.ErrWithdrawn) {
		t.Errorf("it is not ErrWithdrawn: %v", err)
	}
	m.fail = &api.Error{Code: api.CodeUnavailable}
	_, err = c.Add(t.Context(), catalogtest.NewVideo(3))
	wantCode(t, "store down", err, api.CodeUnavailable)
}

func TestNotFound(t *testing.T) {
	c, _, _ := newCatalog(t)
	id := video.NewID("pod.example")
	_, err := c.Get(t.Context(), id)
	wantCode(t, "Get", err, api.CodeNotFound)
	_, err = c.ByInfoHash(t.Context(), magnet.InfoHash{1})
	wantCode(t, "ByInfoHash", err, api.CodeNotFound)
	_, err = c.Edit(t.Context(), moderator, id, api.VideoEdit{})
	wantCode(t, "Edit", err, api.CodeNotFound)
	_, err = c.Withdraw(t.Context(), moderator, id)
	wantCode(t, "Withdraw", err, api.CodeNotFound)
	wantCode(t, "SetThumbnail", c.SetThumbnail(t.Context(), id, strings.Repeat("0", 64)), api.CodeNotFound)
}

func TestWhoMayChange(t *testing.T) {
	for _, test := range []struct {
		name string
		who  catalog.Editor
		own  bool // the video is of this pod
		want api.Code
	}{
		{"uploader", anna, true, ""},
		{"moderator", moderator, true, ""},
		{"another user", mallory, true, api.CodeForbidden},
		{"nobody", nobody, true, api.CodeForbidden},
		{"uploader's namesake of another pod", anna, false, api.CodeForbidden},
		{"moderator, another pod's video", moderator, false, api.CodeForbidden},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, m, _ := newCatalog(t)
			v := catalogtest.NewVideo(2)
			if !test.own {
				v.Origin = "other.example"
			}
			if _, err := c.Add(t.Context(), v); err != nil {
				t.Fatal(err)
			}
			name := "New name"
			got, err := c.Edit(t.Context(), test.who, v.ID, api.VideoEdit{Name: &name})
			wantCode(t, "Edit", err, test.want)
			if err == nil && got.Name != name {
				t.Errorf("Edit answers the name %q", got.Name)
			}
			_, err = c.Withdraw(t.Context(), test.who, v.ID)
			wantCode(t, "Withdraw", err, test.want)
			got, err = c.Get(t.Context(), v.ID)
			if test.want == "" {
				wantCode(t, "Get", err, api.CodeNotFound)
			} else if err != nil || !reflect.DeepEqual(got, v) || len(m.files) > 0 {
				t.Errorf("refused, and changed to %+v, %v", got, err)
			}
		})
	}
	// A video without an uploader is not everybody's.
	c, _, _ := newCatalog(t)
	v := catalogtest.NewVideo(2)
	v.Uploader = ""
	if _, err := c.Add(t.Context(), v); err != nil {
		t.Fatal(err)
	}
	_, err := c.Withdraw(t.Context(), nobody, v.ID)
	wantCode(t, "a video of nobody, by nobody", err, api.CodeForbidden)
}

func TestEdit(t *testing.T) {
	text := func(s string) *string { return &s }
	tags := func(s ...string) *[]string { return &s }
	for _, test := range []struct {
		name     string
		in       api.VideoEdit
		want     func(*video.Video) // nil: it is refused
		sentence string
	}{
		{"nothing", api.VideoEdit{}, func(*video.Video) {}, ""},
		{"name", api.VideoEdit{Name: text(" A\tname ")}, func(v *video.Video) { v.Name = "A name" }, ""},
		{"markup is text", api.VideoEdit{Name: text("<script>alert(1)</script>")}, func(v *video.Video) { v.Name = "<script>alert(1)</script>" }, ""},
		{"description", api.VideoEdit{Description: text("one\r\ntwo\x00")}, func(v *video.Video) { v.Description = "one\ntwo" }, ""},
		{"no description", api.VideoEdit{Description: text("")}, func(v *video.Video) { v.Description = "" }, ""},
		{"tags", api.VideoEdit{Tags: tags("#Go", "go", "Films")}, func(v *video.Video) { v.Tags = []string{"go", "films"} }, ""},
		{"no tags", api.VideoEdit{Tags: tags()}, func(v *video.Video) { v.Tags = nil }, ""},
		{"no name", api.VideoEdit{Name: text(" \x00\n")}, nil, "Name: a name is needed."},
		{"long name", api.VideoEdit{Name: text(strings.Repeat("ü", 10_000))}, nil, "Name: the text has 10000 characters, 120 are allowed."},
		{"not UTF-8", api.VideoEdit{Name: text("\xff")}, nil, "Name: the text is not UTF-8."},
		{"long description", api.VideoEdit{Name: text("fine"), Description: text(strings.Repeat("x", 20_001))}, nil, "Description: the text has 20001 characters, 20000 are allowed."},
		{"long tag", api.VideoEdit{Tags: tags(strings.Repeat("x", 31))}, nil, "Tags: the text has 31 characters, 30 are allowed."},
		{"many tags", api.VideoEdit{Tags: tags(strings.Split("abcdefghijklm", "")...)}, nil, "Tags: 13 tags, 12 are allowed."},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, _, v := newCatalog(t)
			for range 2 { // once more changes nothing more
				got, err := c.Edit(t.Context(), anna, v.ID, test.in)
				if test.want == nil {
					wantCode(t, "Edit", err, api.CodeInvalid)
					if err != nil && err.Error() != test.sentence {
						t.Errorf("it says %q, want %q", err, test.sentence)
					}
				} else if test.want(&v); err != nil || got.Revision < v.Revision {
					t.Errorf("Edit = %+v, %v; want %+v", got, err, v)
				} else if v.Revision = got.Revision; !reflect.DeepEqual(got, v) {
					t.Errorf("Edit = %+v; want %+v", got, v)
				}
				if kept, err := c.Get(t.Context(), v.ID); err != nil || !reflect.DeepEqual(kept, v) {
					t.Errorf("kept is %+v, %v; want %+v", kept, err, v)
				}
			}
		})
	}
}

func TestSetThumbnail(t *testing.T) {
	c, _, v := newCatalog(t)
	for _, hash := range []string{"", "../x", strings.Repeat("A", 64), strings.Repeat("a", 63)} {
		if c.SetThumbnail(t.Context(), v.ID, hash) == nil {
			t.Errorf("%q is taken for a hash", hash)
		}
	}
	next := strings.Repeat("a", 64)
	wantCode(t, "SetThumbnail", c.SetThumbnail(t.Context(), v.ID, next), "")
	if got, err := c.Get(t.Context(), v.ID); err != nil || got.Thumbnail != next {
		t.Errorf("thumbnail %q, %v", got.Thumbnail, err)
	}
	if old, err := c.UnusedThumbnails(t.Context()); err != nil || !slices.Equal(old, []string{v.Thumbnail}) {
		t.Errorf("UnusedThumbnails: %v, %v", old, err)
	}
	wantCode(t, "ThumbnailDeleted", c.ThumbnailDeleted(t.Context(), v.Thumbnail), "")
	if old, err := c.UnusedThumbnails(t.Context()); err != nil || len(old) != 0 {
		t.Errorf("UnusedThumbnails: %v, %v", old, err)
	}
}

func TestWithdraw(t *testing.T) {
	c, _, v := newCatalog(t)
	got, err := c.Withdraw(t.Context(), anna, v.ID)
	if err != nil || !reflect.DeepEqual(got, v) {
		t.Errorf("Withdraw = %+v, %v", got, err)
	}
	files, err := c.Withdrawn(t.Context())
	if err != nil || len(files) != 2 {
		t.Fatalf("Withdrawn: %v, %v", files, err)
	}
	wantCode(t, "Deleted", c.Deleted(t.Context(), files[0]), "")
	if left, err := c.Withdrawn(t.Context()); err != nil || !slices.Equal(left, files[1:]) {
		t.Errorf("Withdrawn: %v, %v", left, err)
	}
}

func TestNewest(t *testing.T) {
	c, m, _ := newCatalog(t)
	for i := range 149 {
		v := catalogtest.NewVideo(2 + i)
		if i%10 == 0 {
			v.Origin = "other.example"
		}
		if _, err := c.Add(t.Context(), v); err != nil {
			t.Fatal(err)
		}
	}
	for limit, want := range map[int]int{0: 24, -5: 24, 1: 1, 100: 100, 101: 100, 1 << 30: 100} {
		if page, cursor, err := c.Newest(t.Context(), api.VideosQuery{Limit: limit}); err != nil || len(page) != want || cursor == "" {
			t.Errorf("limit %d: %d videos, cursor %q, %v; want %d", limit, len(page), cursor, err, want)
		}
	}
	page, cursor, err := c.Newest(t.Context(), api.VideosQuery{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	rest, end, err := c.Newest(t.Context(), api.VideosQuery{Limit: 100, Cursor: cursor})
	if err != nil || len(rest) != 50 || end != "" || !rest[0].Created.Before(page[99].Created) {
		t.Errorf("second page: %d videos, cursor %q, %v", len(rest), end, err)
	}
	for what, q := range map[string]struct {
		api.VideosQuery
		want int
	}{
		"origin":              {api.VideosQuery{Origin: "other.example"}, 15},
		"uploader here":       {api.VideosQuery{Uploader: "ANNA", Limit: 100}, 100},
		"uploader elsewhere":  {api.VideosQuery{Uploader: "anna", Origin: "other.example"}, 15},
		"unknown uploader":    {api.VideosQuery{Uploader: "nobody"}, 0},
		"a strange uploader":  {api.VideosQuery{Uploader: "a\x00/../*\xff"}, 0},
		"an unknown origin":   {api.VideosQuery{Origin: "x.example"}, 0},
		"both at a time long": {api.VideosQuery{Origin: "pod.example", Uploader: "anna", Limit: 3}, 3},
	} {
		if page, _, err := c.Newest(t.Context(), q.VideosQuery); err != nil || len(page) != q.want {
			t.Errorf("%s: %d videos, %v; want %d", what, len(page), err, q.want)
		}
	}
	for _, bad := range []string{"x", "!", strings.Repeat("A", 15), strings.Repeat("A", 17), strings.Repeat("A", 16) + "\n"} {
		_, _, err := c.Newest(t.Context(), api.VideosQuery{Cursor: bad})
		wantCode(t, "cursor "+bad, err, api.CodeInvalid)
	}
	m.fail = &api.Error{Code: api.CodeUnavailable}
	_, _, err = c.Newest(t.Context(), api.VideosQuery{})
	wantCode(t, "store down", err, api.CodeUnavailable)
}

func FuzzPosition(f *testing.F) {
	f.Add(catalog.Position{Created: time.UnixMilli(1), Seq: 2}.String())
	f.Add("////////////////")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := catalog.ParsePosition(s)
		if err == nil && p.String() != s {
			t.Fatalf("%q reads as %+v, which is %q", s, p, p.String())
		}
	})
}
