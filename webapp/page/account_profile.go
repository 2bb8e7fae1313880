package page

import (
	"context"

	"kinopod/shared/api"
	"kinopod/shared/video"

	"github.com/maxence-charriere/go-app/v9/pkg/app"
)

// profileForm changes what others read of the viewer beside their videos.
type profileForm struct {
	component

	env         *Env
	name, about text
	begun       bool
	busy        bool
	err         *api.Error
}

// Render implements app.Composer.
func (p *profileForm) Render() app.UI {
	if !p.begun && p.env.Me != nil {
		p.name, p.about, p.begun = newText(p.env.Me.Profile.Name), newText(p.env.Me.Profile.About), true
	}
	return section("my-profile", "What others see",
		form("Change what others see of you", p.send,
			field{id: "profile-name", label: "Name shown", kind: "text", value: &p.name, hint: "Beside your user name, on the pages of your videos.", autocomplete: "nickname", most: video.MaxShownName}.render(),
			area("profile-about", "About you", &p.about, video.MaxAbout),
			problem(p.err),
			submit(p.busy, "Save", "Saving…"),
		),
	)
}

func (p *profileForm) send() {
	if p.busy {
		return
	}
	profile, err := video.Profile{Name: p.name.now, About: p.about.now}.Clean()
	if err != nil {
		p.err = invalid("One of the texts is too long.")
		return
	}
	p.busy, p.err = true, nil
	do(p.ctx, func(c context.Context) error { return p.env.API.SetProfile(c, profile) }, func(err error) {
		p.busy = false
		if err != nil {
			p.err = api.AsError(err)
			p.env.check(p.err)
			return
		}
		if p.env.Me != nil {
			p.env.Me.Profile = profile
		}
		p.env.say("Saved.")
	})
}
