package e2e

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	"kinopod/pod/federation"
	"kinopod/shared/api"
	pods "kinopod/shared/network"
	"kinopod/shared/video"
)

// hostilePod is somebody else's pod that keeps the protocol and whose texts are what it
// likes. It has no film.
type hostilePod struct {
	t       *testing.T
	host    pods.Host
	name    string
	key     *rsa.PrivateKey
	opener  federation.Opener
	videos  []federation.Video // ids ascending, once it is asked
	details map[video.ID]federation.Details
	// hold is called for each question for details before it is answered.
	hold func(ctx context.Context)
}

func startHostilePod(t *testing.T, name string) *hostilePod {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &hostilePod{t: t, host: pods.Host(l.Addr().String()), name: name, details: map[video.ID]federation.Details{}}
	p.key, err = rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	p.opener = federation.Opener{
		Host: p.host, Keys: federation.Ring{p.key}, Versions: federation.Speaks, Now: time.Now, Sender: keyOf,
		First: func(context.Context, pods.Host, federation.MessageID, time.Time) (bool, error) { return true, nil },
	}
	server := &http.Server{Handler: p}
	go server.Serve(l) //nolint:errcheck // ends with Close
	t.Cleanup(func() { _ = server.Close() })
	return p
}

// keyOf asks a pod for its key.
func keyOf(ctx context.Context, h pods.Host) (*rsa.PublicKey, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+string(h)+federation.PathCard, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	var card federation.Card
	err = json.NewDecoder(res.Body).Decode(&card)
	return card.Key.PublicKey, err
}

// list adds a video with these texts, and what the pod says when it is asked for more.
func (p *hostilePod) list(v federation.Video, d federation.Details) video.ID {
	v.ID = video.NewID(p.host)
	now := time.Now().UnixMilli()
	v.Revision, v.Created = now, now+int64(len(p.videos))
	r := federation.Rendition{Size: 1 << 20, MIME: video.MP4, FileName: "film.mp4", Width: 640, Height: 360}
	_, _ = rand.Read(r.InfoHash[:])
	v.Renditions = []federation.Rendition{r}
	p.videos = append(p.videos, v)
	p.details[v.ID] = d
	return v.ID
}

func (p *hostilePod) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case federation.PathCard:
		_ = json.NewEncoder(w).Encode(federation.Card{Host: p.host, Name: p.name, Software: p.name, Version: p.name, Key: federation.Key{PublicKey: &p.key.PublicKey}, Protocol: federation.Speaks})
	case api.PathFriends:
		_ = json.NewEncoder(w).Encode(api.FriendList{Host: p.host, Friends: []api.Friend{}})
	case federation.PathHello, federation.PathEvents:
		w.WriteHeader(http.StatusNoContent)
	case federation.PathDigest, federation.PathVideos, federation.PathDetails:
		p.answer(w, r)
	default:
		http.NotFound(w, r)
	}
}

// answer opens a message and seals what is said to it.
func (p *hostilePod) answer(w http.ResponseWriter, r *http.Request) {
	message, err := io.ReadAll(r.Body)
	var asked federation.Header
	var body []byte
	if err == nil {
		asked, body, err = p.opener.Open(r.Context(), message, r.URL.Path)
	}
	if err == nil && r.URL.Path == federation.PathDetails && p.hold != nil {
		if p.hold(r.Context()); r.Context().Err() != nil {
			return
		}
	}
	var plain []byte
	if err == nil {
		plain, err = json.Marshal(p.say(r.URL.Path, body))
	}
	var to *rsa.PublicKey
	if err == nil {
		to, err = keyOf(r.Context(), asked.From)
	}
	if err == nil {
		h := asked
		h.From, h.To, h.Time = p.host, asked.From, time.Now().UnixMilli()
		message, err = federation.Seal(h, p.key, to, plain)
	}
	if err != nil {
		p.t.Errorf("the hostile pod: %v", err)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/jose")
	_, _ = w.Write(message)
}

// page is how many videos go into one message: their texts are long.
const page = 3

func (p *hostilePod) say(path string, body []byte) any {
	switch path {
	case federation.PathDigest:
		d := federation.Digest{Count: len(p.videos)}
		for _, v := range p.videos {
			d.Hashes.Add(v.ID, v.Revision)
		}
		return d
	case federation.PathDetails:
		q, err := federation.ParseDetailsRequest(body)
		must(p.t, err)
		return p.details[q.ID]
	}
	q, err := federation.ParsePageRequest(body)
	must(p.t, err)
	sorted := slices.SortedFunc(slices.Values(p.videos), func(a, b federation.Video) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	out := federation.Page{Videos: []federation.Video{}, AsOf: time.Now().UnixMilli()}
	for _, v := range sorted {
		if bytes.Compare(v.ID[:], q.After[:]) <= 0 || bytes.Compare(v.ID[:], q.Last[:]) > 0 {
			continue
		}
		if out.More = len(out.Videos) == page; out.More {
			break
		}
		out.Videos = append(out.Videos, v)
	}
	return out
}

// first gives n runes of a text.
func first(s string, n int) string {
	r := []rune(s)
	return string(r[:min(len(r), n)])
}

// polite makes of a text what passes for one that clean takes: the most that a pod that
// knows the rules can do.
func polite(s string, most int, clean func(string) (string, error)) string {
	for n := most; n > 0; n /= 2 {
		if c, err := clean(first(s, n)); err == nil && c != "" {
			return c
		}
	}
	return cmp.Or(s[:0], "x")
}

// ask sends a pod a sealed question and gives the status and the opened answer.
func (p *hostilePod) ask(to pods.Host, path string, question any) (int, []byte) {
	p.t.Helper()
	body, err := json.Marshal(question)
	must(p.t, err)
	key, err := keyOf(p.t.Context(), to)
	must(p.t, err)
	h := federation.Header{From: p.host, To: to, Path: path, Version: 1, Time: time.Now().UnixMilli(), ID: federation.NewMessageID()}
	message, err := federation.Seal(h, p.key, key, body)
	must(p.t, err)
	res, err := http.Post("http://"+string(to)+path, "application/jose", bytes.NewReader(message))
	must(p.t, err)
	defer res.Body.Close()
	sealed, err := io.ReadAll(res.Body)
	must(p.t, err)
	if res.StatusCode != http.StatusOK {
		return res.StatusCode, nil
	}
	answer, err := p.opener.OpenAnswer(sealed, h, key)
	must(p.t, err)
	return res.StatusCode, answer
}
