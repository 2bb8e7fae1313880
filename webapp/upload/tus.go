package upload

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"kinopod/shared/api"
	"kinopod/shared/video"
)

// client speaks tus 1.0.0 with the pod at base; each method is one request. An
// error is a *failure.
type client struct {
	base  string // "" in a page of the pod itself
	token string // "" where the browser has the cookie
	idle  time.Duration
}

// progress is how far the pod is with an upload.
type progress struct {
	offset int64
	// published is the video that the upload became; zero while it has not.
	published video.ID
}

func (c client) do(ctx context.Context, r request, want ...int) (response, error) {
	r.url, r.idle = c.base+r.url, c.idle
	header := map[string]string{"Tus-Resumable": "1.0.0"}
	if c.token != "" {
		header["Authorization"] = "Bearer " + c.token
	}
	for k, v := range r.header {
		header[k] = v
	}
	r.header = header
	res, err := send(ctx, r)
	if err != nil {
		return response{}, lost(err)
	}
	if !slices.Contains(want, res.status) {
		return response{}, refused(res)
	}
	return res, nil
}

// create announces a file of size bytes and returns the upload's id.
func (c client) create(ctx context.Context, size int64, metadata map[string]string) (video.ID, error) {
	res, err := c.do(ctx, request{method: http.MethodPost, url: api.PathUploads, header: map[string]string{
		"Upload-Length":   strconv.FormatInt(size, 10),
		"Upload-Metadata": encodeMetadata(metadata),
	}}, http.StatusCreated)
	if err != nil {
		return video.ID{}, err
	}
	// Only the last part of the address counts: what stands before it may name a
	// scheme or a host that a proxy in front of the pod changed.
	id, err := video.ParseID(lastPart(res.header("Location")))
	if err != nil {
		return video.ID{}, final(api.CodeInternal, "The pod's answer could not be read.")
	}
	return id, nil
}

func lastPart(location string) string {
	u, err := url.Parse(location)
	if err != nil {
		return ""
	}
	return path.Base(u.Path)
}

// encodeMetadata writes Upload-Metadata, its keys in order.
func encodeMetadata(m map[string]string) string {
	var pairs []string
	for k, v := range m {
		pairs = append(pairs, k+" "+base64.StdEncoding.EncodeToString([]byte(v)))
	}
	slices.Sort(pairs)
	return strings.Join(pairs, ",")
}

// status asks how much of an upload the pod has.
func (c client) status(ctx context.Context, id video.ID) (progress, error) {
	res, err := c.do(ctx, request{method: http.MethodHead, url: api.UploadPath(id)}, http.StatusOK, http.StatusNoContent)
	if err != nil {
		return progress{}, err
	}
	return readProgress(res)
}

// patch sends the bytes from..to of file and returns what the pod has then.
func (c client) patch(ctx context.Context, id video.ID, file *File, from, to int64, moved func(int64)) (progress, error) {
	res, err := c.do(ctx, request{
		method: http.MethodPatch, url: api.UploadPath(id), file: file, from: from, to: to, progress: moved,
		header: map[string]string{
			"Upload-Offset": strconv.FormatInt(from, 10),
			"Content-Type":  "application/offset+octet-stream",
		},
	}, http.StatusNoContent, http.StatusOK)
	if err != nil {
		return progress{}, err
	}
	return readProgress(res)
}

func readProgress(res response) (progress, error) {
	offset, err := strconv.ParseInt(res.header("Upload-Offset"), 10, 64)
	if err != nil || offset < 0 {
		return progress{}, lost(errNoOffset)
	}
	p := progress{offset: offset}
	if s := res.header(api.HeaderVideoID); s != "" {
		if p.published, err = video.ParseID(s); err != nil {
			return progress{}, final(api.CodeInternal, "The pod's answer could not be read.")
		}
	}
	return p, nil
}

// terminate makes the pod forget an upload. One that is gone already is fine.
func (c client) terminate(ctx context.Context, id video.ID) error {
	_, err := c.do(ctx, request{method: http.MethodDelete, url: api.UploadPath(id)},
		http.StatusNoContent, http.StatusOK, http.StatusNotFound, http.StatusGone)
	return err
}
