package federation

import (
	"encoding/json"
	"fmt"

	"kinopod/shared/api"
	"kinopod/shared/video"
)

// DetailsRequest asks for what the catalogue has no room for.
type DetailsRequest struct {
	ID video.ID `json:"id"` // of a video of the recipient
	// Watch asks for a pass as well: somebody who is logged in at the sender is to watch.
	Watch bool `json:"watch,omitempty"`
}

// ParseDetailsRequest reads a body of PathDetails.
func ParseDetailsRequest(body []byte) (r DetailsRequest, err error) {
	if err := parse(body, &r); err != nil {
		return DetailsRequest{}, err
	}
	if r.ID.IsZero() {
		return DetailsRequest{}, refuse(BadBody, video.ErrID)
	}
	return r, nil
}

// Details is what an origin says of one of its videos.
type Details struct {
	Description string        `json:"description,omitempty"` // all of it
	Uploader    video.Profile `json:"uploader"`
	Members     bool          `json:"members,omitempty"` // the origin's videos are for members
	Pass        *api.Pass     `json:"pass,omitempty"`    // of the first rendition, where it was asked for and is needed
}

// maxSignature bounds that of a pass, in bytes.
const maxSignature = 256

// ParseDetails reads an answer of PathDetails. What its texts have that nobody should be
// shown is taken out.
func ParseDetails(body []byte) (d Details, err error) {
	if err := parse(body, &d); err != nil {
		return Details{}, err
	}
	if d.Description, err = video.CleanText(d.Description); err == nil {
		d.Uploader, err = d.Uploader.Clean()
	}
	if err == nil && d.Pass != nil && (d.Pass.Expires <= 0 || d.Pass.Signature == "" || len(d.Pass.Signature) > maxSignature) {
		err = fmt.Errorf("a pass of %d bytes until %d", len(d.Pass.Signature), d.Pass.Expires)
	}
	if err != nil {
		return Details{}, refuse(BadBody, err)
	}
	return d, nil
}

// KeptDetails is what rests on the disk of who asked.
type KeptDetails struct {
	Revision int64   `json:"revision"` // of the video when they were asked for
	Details  Details `json:"details"`
}

// ParseKeptDetails reads them.
func ParseKeptDetails(text []byte) (KeptDetails, error) {
	var k struct {
		Revision int64           `json:"revision"`
		Details  json.RawMessage `json:"details"`
	}
	if err := parse(text, &k); err != nil {
		return KeptDetails{}, err
	}
	d, err := ParseDetails(k.Details)
	if err != nil {
		return KeptDetails{}, err
	}
	return KeptDetails{k.Revision, d}, nil
}
