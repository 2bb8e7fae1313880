// Package viewing decides who may watch this pod's own videos: everybody, or who is a
// member.
//
// Members are the users of this pod, and those of friends that this pod asked to be one: a friend asks for a pass
// for somebody who is logged in there (package federation). A pass is for one file until
// a time, whoever has it; a member's addresses of the file carry one, so that whatever is
// given such an address (an engine in a page of another pod, a BitTorrent client) needs
// no session. Who is revoked as a friend gets no new ones.
package viewing

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strconv"
	"strings"
	"time"

	"kinopod/shared/api"
	"kinopod/shared/magnet"
)

// The policies.
const (
	Public  = "public"  // everybody
	Members = "members" // who has a session here, or a pass
)

// A pass lasts for life, and up to the end of the hour after it: the addresses of a file
// are the same for an hour, so that a page that asks twice goes on with what it has.
const (
	life  = 12 * time.Hour
	round = time.Hour
)

// Gate tells who may watch. The nil Gate is that of a public pod.
type Gate struct {
	key func() []byte
	now func() time.Time
}

// New makes the gate of a pod with a policy. Passes are valid for as long as the key,
// which is asked for each time, stays the same.
func New(policy string, key func() []byte, now func() time.Time) *Gate {
	if policy != Members {
		return nil
	}
	return &Gate{key, now}
}

// Policy is that of the pod.
func (g *Gate) Policy() string {
	if g == nil {
		return Public
	}
	return Members
}

// Closed says whether one has to be a member.
func (g *Gate) Closed() bool { return g != nil }

// Pass makes one for a file; the zero Pass where none is needed.
func (g *Gate) Pass(h magnet.InfoHash) api.Pass {
	if g == nil {
		return api.Pass{}
	}
	expires := g.now().Add(life + round).Truncate(round).Unix()
	return api.Pass{Expires: expires, Signature: g.sign(h, expires)}
}

// Admits says whether the query of an address has a pass for a file that is valid now, or
// none is needed.
func (g *Gate) Admits(h magnet.InfoHash, query string) bool {
	if g == nil {
		return true
	}
	if !strings.Contains(query, api.PassSignature+"=") {
		return false
	}
	q, err := url.ParseQuery(query)
	if err != nil {
		return false
	}
	expires, err := strconv.ParseInt(q.Get(api.PassExpires), 10, 64)
	if err != nil || expires <= g.now().Unix() || expires > g.now().Add(life+round).Unix() {
		return false
	}
	return hmac.Equal([]byte(g.sign(h, expires)), []byte(q.Get(api.PassSignature)))
}

func (g *Gate) sign(h magnet.InfoHash, expires int64) string {
	m := hmac.New(sha256.New, g.key())
	m.Write(h[:])
	m.Write(strconv.AppendInt(nil, expires, 10))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}
