//go:build !js

package page

import (
	"github.com/maxence-charriere/go-app/v9/pkg/app"

	"kinopod/shared/api"
	"kinopod/webapp/upload"
)

// startQueue gives none: the pod renders the page, but nothing goes up there.
func startQueue(api.Methods) *upload.Queue { return nil }

// watchDrops has nothing to watch.
func watchDrops(func(bool), func([]*upload.File)) (stop func()) { return func() {} }

// takeFiles finds none.
func takeFiles(app.Value) []*upload.File { return nil }
