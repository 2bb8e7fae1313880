package podtest

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"kinopod/shared/api"
	"kinopod/shared/video"
)

// Password is that of every account that podtest makes.
const Password = "a long enough password"

// Client is somebody who is logged in.
type Client struct {
	*api.Client
	URL   string // of the pod
	Name  string
	Token string
}

// User makes an account and logs in.
func (p *Pod) User(t testing.TB, name string, role api.Role) *Client {
	t.Helper()
	if err := p.Accounts().Create(t.Context(), name, Password, role); err != nil {
		t.Fatalf("make account %s: %v", name, err)
	}
	return Login(t, p.URL, name)
}

// Login logs in at the pod at url with Password.
func Login(t testing.TB, url, name string) *Client {
	t.Helper()
	s, err := api.NewClient(url, "").Login(t.Context(), api.Credentials{Username: name, Password: Password})
	if err != nil {
		t.Fatalf("log in as %s: %v", name, err)
	}
	return &Client{Client: api.NewClient(url, s.Token), URL: url, Name: name, Token: s.Token}
}

// Answer is an answer of a pod, its body read.
type Answer struct {
	*http.Response
	Text string
}

// Ask sends one request with headers "Key: value".
func (c *Client) Ask(t testing.TB, method, path string, body io.Reader, headers ...string) Answer {
	t.Helper()
	a, err := c.ask(t.Context(), method, path, body, headers...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

func (c *Client) ask(ctx context.Context, method, path string, body io.Reader, headers ...string) (Answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.URL+path, body)
	if err != nil {
		return Answer{}, err
	}
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	for _, h := range headers {
		key, value, _ := strings.Cut(h, ": ")
		req.Header.Set(key, value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return Answer{res, string(text)}, err
}

// Metadata writes Upload-Metadata of pairs "key", "value".
func Metadata(pairs ...string) string {
	var parts []string
	for i := 0; i+1 < len(pairs); i += 2 {
		parts = append(parts, pairs[i]+" "+base64.StdEncoding.EncodeToString([]byte(pairs[i+1])))
	}
	return strings.Join(parts, ",")
}

// CreateUpload begins a tus upload of size bytes and gives its path.
func (c *Client) CreateUpload(t testing.TB, size int64, pairs ...string) string {
	t.Helper()
	a := c.Ask(t, http.MethodPost, api.PathUploads, nil,
		"Tus-Resumable: 1.0.0", "Upload-Length: "+strconv.FormatInt(size, 10), "Upload-Metadata: "+Metadata(pairs...))
	if a.StatusCode != http.StatusCreated {
		t.Fatalf("create upload: %s %s", a.Status, a.Text)
	}
	location, err := a.Location()
	if err != nil {
		t.Fatal(err)
	}
	return location.Path
}

// Patch sends bytes of an upload from offset on.
func (c *Client) Patch(t testing.TB, upload string, offset int64, b []byte) Answer {
	t.Helper()
	return c.Ask(t, http.MethodPatch, upload, bytes.NewReader(b),
		"Tus-Resumable: 1.0.0", "Upload-Offset: "+strconv.FormatInt(offset, 10), "Content-Type: application/offset+octet-stream")
}

// Upload sends the file at path by tus and gives the id of the video it became.
func (c *Client) Upload(t testing.TB, path string, pairs ...string) video.ID {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	upload := c.CreateUpload(t, int64(len(b)), append([]string{api.MetaFileName, filepath.Base(path)}, pairs...)...)
	a := c.Patch(t, upload, 0, b)
	id, err := video.ParseID(a.Header.Get(api.HeaderVideoID))
	if a.StatusCode != http.StatusNoContent || err != nil {
		t.Fatalf("upload %s: %s %s", filepath.Base(path), a.Status, a.Text)
	}
	return id
}

// Film uploads a sample and gives the video and its bytes.
func (c *Client) Film(t testing.TB, s Sample) (api.Video, []byte) {
	t.Helper()
	path := s.Path(t)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	v, err := c.Video(t.Context(), c.Upload(t, path, api.MetaName, fmt.Sprintf("Sample of %v", s.Length)))
	if err != nil {
		t.Fatal(err)
	}
	return v, b
}
