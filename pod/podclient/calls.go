package podclient

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"kinopod/pod/federation"
	"kinopod/shared/api"
	"kinopod/shared/network"
	"kinopod/shared/torrent"
	"kinopod/shared/video"
)

// Limits of answers.
const (
	maxCard      = 64 << 10 // bytes
	maxFriends   = 2 << 20  // bytes
	maxErrorBody = 16 << 10 // bytes
	maxHosts     = 10_000   // of one pod's friends
	maxName      = 60       // runes
)

// Card gets who a pod says it is. The card is of at.Host, and has a key; its texts are
// short lines. secure says whether it came by https.
func (c *Client) Card(ctx context.Context, at Target) (card federation.Card, secure bool, err error) {
	a, err := c.do(ctx, at, request{method: http.MethodGet, path: federation.PathCard, most: maxCard})
	if err != nil {
		return federation.Card{}, false, err
	}
	if card, err = parseCard(a.body, at.Host); err != nil {
		return federation.Card{}, false, &failure{at.Host, federation.PathCard, err}
	}
	return card, a.secure, nil
}

// parseCard reads the card of h.
func parseCard(b []byte, h network.Host) (federation.Card, error) {
	var card federation.Card
	if err := json.Unmarshal(b, &card); err != nil {
		return federation.Card{}, fmt.Errorf("read card: %w", err)
	}
	switch p := card.Protocol; {
	case card.Host != h:
		return federation.Card{}, fmt.Errorf("read card: it is of %q", oneLine(string(card.Host), maxName))
	case card.Key.PublicKey == nil:
		return federation.Card{}, errors.New("read card: no key")
	case p.Min < 1 || p.Max < p.Min:
		return federation.Card{}, fmt.Errorf("read card: versions %d to %d of the protocol", p.Min, p.Max)
	}
	card.Name, card.Software, card.Version = oneLine(card.Name, maxName), oneLine(card.Software, maxName), oneLine(card.Version, maxName)
	return card, nil
}

// Friends gets the hosts that a pod calls its friends, at most 10,000 of them. What is
// not a host is left out.
func (c *Client) Friends(ctx context.Context, at Target) ([]network.Host, error) {
	a, err := c.do(ctx, at, request{method: http.MethodGet, path: api.PathFriends, most: maxFriends})
	if err != nil {
		return nil, err
	}
	hosts, err := parseFriends(a.body)
	if err != nil {
		return nil, &failure{at.Host, api.PathFriends, err}
	}
	return hosts, nil
}

func parseFriends(b []byte) ([]network.Host, error) {
	var list struct {
		Friends []struct {
			Host  string        `json:"host"`
			State network.State `json:"state"`
		} `json:"friends"`
	}
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, fmt.Errorf("read friends: %w", err)
	}
	var hosts []network.Host
	for _, f := range list.Friends {
		if len(hosts) == maxHosts {
			break
		}
		if h, err := network.ParseHost(f.Host); err == nil && f.State == network.Friend {
			hosts = append(hosts, h)
		}
	}
	return hosts, nil
}

// Hello asks a pod to be our friend: us is who we say we are.
func (c *Client) Hello(ctx context.Context, at Target, us network.Host) error {
	b, err := json.Marshal(federation.Hello{Host: us})
	if err != nil {
		return fmt.Errorf("encode hello: %w", err)
	}
	_, err = c.do(ctx, at, request{method: http.MethodPost, path: federation.PathHello, contentType: "application/json", body: b})
	return err
}

// Send posts a sealed message to path, and gives the answer's body, at most
// federation.MaxMessage bytes; nil for 204.
func (c *Client) Send(ctx context.Context, at Target, path string, message []byte) ([]byte, error) {
	a, err := c.do(ctx, at, request{
		method: http.MethodPost, path: path, contentType: "application/jose", body: message, most: federation.MaxMessage,
	})
	if err != nil || a.status == http.StatusNoContent {
		return nil, err
	}
	return a.body, nil
}

// Torrent gets the .torrent of a video, unchecked; pass may be none.
func (c *Client) Torrent(ctx context.Context, at Target, id video.ID, pass api.Pass) ([]byte, error) {
	a, err := c.do(ctx, at, request{method: http.MethodGet, path: api.TorrentPath(id), query: pass.Query(), most: torrent.MaxMetainfo})
	return a.body, err
}

// Thumbnail gets the picture that hash names: its SHA-256 is hash, in lower case
// hexadecimal digits, and it begins like a WebP. More is not known of it.
func (c *Client) Thumbnail(ctx context.Context, at Target, hash string) ([]byte, error) {
	if len(hash) != 2*sha256.Size || strings.Trim(hash, "0123456789abcdef") != "" {
		return nil, fmt.Errorf("get thumbnail: %q is no hash", hash)
	}
	path := api.ThumbnailPath(hash)
	a, err := c.do(ctx, at, request{method: http.MethodGet, path: path, most: api.MaxPicture})
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(a.body); hex.EncodeToString(sum[:]) != hash {
		return nil, &failure{at.Host, path, errors.New("the picture has another hash")}
	}
	if b := a.body; len(b) < 12 || string(b[:4]) != "RIFF" || string(b[8:12]) != "WEBP" {
		return nil, &failure{at.Host, path, errors.New("the picture is no WebP")}
	}
	return a.body, nil
}
