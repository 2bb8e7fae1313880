package player

import (
	"context"
	"fmt"
	"log/slog"

	"kinopod/shared/api"
	"kinopod/webapp/piecestore"
	"kinopod/webapp/swarm"
	"kinopod/webapp/upload"
)

// Seeding gives files that went up on to viewers.
type Seeding struct{}

var _ upload.Seeder = Seeding{}

// SeedFile implements upload.Seeder: pieces are read from the file that the uploader
// chose. The pod hashed the same bytes as they arrived.
func (Seeding) SeedFile(v api.Video, f *upload.File) (stop func(), err error) {
	if len(v.Renditions) == 0 || v.Renditions[0].Size != f.Size() {
		return nil, fmt.Errorf("%s is not the file of %s", f.Name(), v.ID)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		tor, err := untilMetainfo(ctx, v)
		if err != nil {
			return
		}
		c := config(v, tor)
		c.Store, c.Complete, c.WebSeed, c.OfferURL = piecestore.NewFile(f.JSValue(), tor.PieceLength), true, "", ""
		e := swarm.New(c)
		defer obey(e)()
		if err := e.Run(ctx); ctx.Err() == nil {
			slog.Warn("seeding ended", "video", v.ID, "err", err)
		}
	}()
	return cancel, nil
}
