// Package feed writes a list of videos for readers of feeds: as Atom (RFC 4287) and as RSS
// 2.0, both with the elements of Media RSS for pictures.
//
// What uploaders and other pods wrote is text in both: encoding/xml escapes it, and
// replaces what may not stand in XML.
package feed

import (
	"bytes"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"strconv"
	"time"

	"kinopod/shared/api"
	"kinopod/shared/video"
)

// Feed is a list with what is said of it.
type Feed struct {
	Title, Subtitle string
	Base            string // address of the pod without a path
	Path            string // of the feed itself, with its query
	Page            string // path of the page that shows the same
	Videos          []api.Video
}

// epoch is when a list without videos was changed: feeds must say when.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func (f *Feed) updated() time.Time {
	last := epoch
	for _, v := range f.Videos {
		if v.Created.After(last) {
			last = v.Created
		}
	}
	return last.UTC()
}

// urn names a video for good, wherever it is listed.
func urn(id video.ID) string {
	h := hex.EncodeToString(id[:])
	return fmt.Sprintf("urn:uuid:%s-%s-%s-%s-%s", h[:8], h[8:12], h[12:16], h[16:20], h[20:])
}

func author(v *api.Video) string { return v.Uploader + "@" + string(v.Origin) }

const (
	atomSpace  = "http://www.w3.org/2005/Atom"
	mediaSpace = "http://search.yahoo.com/mrss/"
	creator    = "http://purl.org/dc/elements/1.1/"
)

type atomFeed struct {
	XMLName  xml.Name    `xml:"feed"`
	Space    string      `xml:"xmlns,attr"`
	Media    string      `xml:"xmlns:media,attr"`
	ID       string      `xml:"id"`
	Title    string      `xml:"title"`
	Subtitle string      `xml:"subtitle,omitempty"`
	Updated  string      `xml:"updated"`
	Links    []link      `xml:"link"`
	Maker    string      `xml:"generator"`
	Entries  []atomEntry `xml:"entry"`
}

type link struct {
	Rel    string `xml:"rel,attr"`
	Type   string `xml:"type,attr,omitempty"`
	Href   string `xml:"href,attr"`
	Length int64  `xml:"length,attr,omitempty"`
}

type atomEntry struct {
	ID         string     `xml:"id"`
	Title      string     `xml:"title"`
	Links      []link     `xml:"link"`
	Published  string     `xml:"published"`
	Updated    string     `xml:"updated"`
	Author     atomAuthor `xml:"author"`
	Categories []category `xml:"category"`
	Summary    string     `xml:"summary,omitempty"`
	Thumbnail  *thumbnail `xml:"media:thumbnail"`
}

type atomAuthor struct {
	Name string `xml:"name"`
	URI  string `xml:"uri"`
}

type category struct {
	Term string `xml:"term,attr"`
}

type thumbnail struct {
	URL string `xml:"url,attr"`
}

func pictureOf(v *api.Video) *thumbnail {
	if v.ThumbnailURL == "" {
		return nil
	}
	return &thumbnail{v.ThumbnailURL}
}

// enclosureOf is the film; none where one has to be a member.
func enclosureOf(v *api.Video) (address, mime string, size int64) {
	if v.Members || len(v.Renditions) == 0 {
		return "", "", 0
	}
	return v.StreamURL, v.Renditions[0].MIME, v.Renditions[0].Size
}

// Atom writes the feed as Atom.
func (f *Feed) Atom() ([]byte, error) {
	out := atomFeed{
		Space: atomSpace, Media: mediaSpace, ID: f.Base + f.Path, Title: f.Title, Subtitle: f.Subtitle, Updated: f.updated().Format(time.RFC3339), Maker: "Kinopod",
		Links: []link{{Rel: "self", Type: "application/atom+xml", Href: f.Base + f.Path}, {Rel: "alternate", Type: "text/html", Href: f.Base + f.Page}},
	}
	for i := range f.Videos {
		v := &f.Videos[i]
		at := v.Created.UTC().Format(time.RFC3339)
		e := atomEntry{
			ID: urn(v.ID), Title: v.Name, Published: at, Updated: at, Summary: v.Description, Thumbnail: pictureOf(v),
			Author: atomAuthor{author(v), f.Base + api.UploaderPath(v.Origin, v.Uploader)},
			Links:  []link{{Rel: "alternate", Type: "text/html", Href: f.Base + api.WatchPath(v.ID)}},
		}
		if address, mime, size := enclosureOf(v); address != "" {
			e.Links = append(e.Links, link{Rel: "enclosure", Type: mime, Href: address, Length: size})
		}
		for _, t := range v.Tags {
			e.Categories = append(e.Categories, category{t})
		}
		out.Entries = append(out.Entries, e)
	}
	return marshal(out)
}

type rss struct {
	XMLName xml.Name `xml:"rss"`
	Version string   `xml:"version,attr"`
	Atom    string   `xml:"xmlns:atom,attr"`
	Media   string   `xml:"xmlns:media,attr"`
	Creator string   `xml:"xmlns:dc,attr"`
	Channel channel  `xml:"channel"`
}

type channel struct {
	Title       string `xml:"title"`
	Link        string `xml:"link"`
	Description string `xml:"description"`
	Self        link   `xml:"atom:link"`
	Built       string `xml:"lastBuildDate"`
	Maker       string `xml:"generator"`
	Items       []item `xml:"item"`
}

type item struct {
	Title       string     `xml:"title"`
	Link        string     `xml:"link"`
	GUID        guid       `xml:"guid"`
	Date        string     `xml:"pubDate"`
	Creator     string     `xml:"dc:creator"`
	Categories  []string   `xml:"category"`
	Description string     `xml:"description,omitempty"`
	Enclosure   *enclosure `xml:"enclosure"`
	Thumbnail   *thumbnail `xml:"media:thumbnail"`
}

type guid struct {
	PermaLink bool   `xml:"isPermaLink,attr"`
	ID        string `xml:",chardata"`
}

type enclosure struct {
	URL    string `xml:"url,attr"`
	Length string `xml:"length,attr"`
	Type   string `xml:"type,attr"`
}

// RSS writes the feed as RSS 2.0.
func (f *Feed) RSS() ([]byte, error) {
	c := channel{
		Title: f.Title, Link: f.Base + f.Page, Description: f.Subtitle, Built: f.updated().Format(time.RFC1123Z), Maker: "Kinopod",
		Self: link{Rel: "self", Type: "application/rss+xml", Href: f.Base + f.Path},
	}
	if c.Description == "" {
		c.Description = f.Title
	}
	for i := range f.Videos {
		v := &f.Videos[i]
		e := item{
			Title: v.Name, Link: f.Base + api.WatchPath(v.ID), GUID: guid{false, urn(v.ID)}, Date: v.Created.UTC().Format(time.RFC1123Z),
			Creator: author(v), Categories: v.Tags, Description: escaped(v.Description), Thumbnail: pictureOf(v),
		}
		if address, mime, size := enclosureOf(v); address != "" {
			e.Enclosure = &enclosure{address, strconv.FormatInt(size, 10), mime}
		}
		c.Items = append(c.Items, e)
	}
	return marshal(rss{Version: "2.0", Atom: atomSpace, Media: mediaSpace, Creator: creator, Channel: c})
}

// escaped makes HTML of a text: that is what a description of RSS is.
func escaped(text string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(text)) // a Buffer takes all
	return b.String()
}

func marshal(v any) ([]byte, error) {
	b, err := xml.Marshal(v)
	return append([]byte(xml.Header), b...), err
}
