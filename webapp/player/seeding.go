//go:build !js

package player

import (
	"errors"

	"kinopod/shared/api"
	"kinopod/webapp/upload"
)

// Seeding gives files that went up on to viewers.
type Seeding struct{}

var _ upload.Seeder = Seeding{}

// SeedFile implements upload.Seeder; it works in a browser only.
func (Seeding) SeedFile(api.Video, *upload.File) (stop func(), err error) {
	return nil, errors.New("not in a browser")
}
