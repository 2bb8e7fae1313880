package page

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/maxence-charriere/go-app/v9/pkg/app"

	"kinopod/shared/api"
	"kinopod/shared/network"
)

// pods is the network as this pod sees it: a picture of it with its friends around it,
// and what is known of each; for administrators also how to change that.
type pods struct {
	component

	env    *Env
	now    time.Time
	list   content[api.FriendList]
	busy   bool         // the list is asked for
	chosen network.Host // in the picture
	again  network.Host // is asked for friendship once more
	join   joinForm
	ask    question
}

// podAnchor begins the id of a pod's place in the list.
const podAnchor = "pod-"

func (p *pods) open(u *url.URL) {
	chosen, _ := strings.CutPrefix(u.Fragment, podAnchor)
	p.chosen, p.now = network.Host(chosen), time.Now()
	p.join.env, p.join.joined, p.ask.id = p.env, p.load, "ask-pod"
}

func (p *pods) preload(ctx context.Context) { p.list.set(p.env.API.Friends(ctx)) }

func (p *pods) content() any { return &p.list }

func (p *pods) head() Head {
	return Head{
		Title: "Network", Description: "The pods that " + p.env.frame.PodName() + " shares videos with.", Kind: "website",
		Status: p.list.status(), Canonical: "/network",
	}
}

// OnMount implements app.Mounter.
func (p *pods) OnMount(ctx app.Context) {
	p.ctx = ctx
	if !p.list.Done {
		p.load()
	}
	p.follow()
}

// load asks for the list. What is known stays until the answer is here, and so does
// why it is old.
func (p *pods) load() {
	err := p.list.Err
	load(p.ctx, &p.list, p.env.API.Friends, func() { p.now, p.busy = time.Now(), false })
	if p.busy = true; p.list.Done {
		p.list.Err = err
	}
}

// follow asks again and again while somebody looks; it ends with the component.
func (p *pods) follow() {
	p.ctx.After(followEvery, func(app.Context) {
		if !p.busy && isVisible() {
			p.load()
		}
		p.follow()
	})
}

// followEvery is how old the list may become.
const followEvery = 5 * time.Second

func (p *pods) isAdmin() bool { return p.env.Me != nil && p.env.Me.Role == api.RoleAdmin }

// those gives the pods in one of the states.
func (p *pods) those(states ...network.State) []api.Friend {
	return slices.DeleteFunc(slices.Clone(p.list.Value.Friends), func(f api.Friend) bool { return !slices.Contains(states, f.State) })
}

// Render implements app.Composer. Components keep their places: go-app would mount them
// a second time in others.
func (p *pods) Render() app.UI {
	friends := p.those(network.Friend)
	return elem("div").Class("page network").Body(
		elem("header").Class("network-head").Body(
			elem("h1").Class("page-title").Text("Network"),
			elem("p").Class("dim").Text(p.summary(friends)),
		),
		elem("div").Class("network-body").Body(
			elem("div").Class("slot").Body(p.view()),
			elem("div").Class("network-side").Body(
				elem("div").Class("slot").Body(p.stale()),
				elem("div").Class("slot").Body(p.friends(friends)),
				elem("div").Class("slot").Body(p.operator()),
			),
		),
	)
}

// summary is the network in a sentence.
func (p *pods) summary(friends []api.Friend) string {
	if !p.list.Done || len(friends) == 0 {
		return "Pods that are friends list each other's videos, and help to carry them."
	}
	reachable, videos, behind := 0, 0, 0
	for _, f := range friends {
		if f.Reachable {
			reachable++
		}
		videos, behind = videos+f.Videos, behind+f.Behind
	}
	how := strconv.Itoa(reachable) + " reachable"
	switch {
	case len(friends) == 1:
		how = pick(reachable == 1, "reachable", "not reachable")
	case reachable == len(friends):
		how = "all reachable"
	}
	text := p.env.frame.PodName() + " and " + plural(len(friends), "friend") + ", " + how + "."
	if videos > 0 {
		text += " " + plural(videos, "video") + " of theirs " + pick(videos == 1, "is", "are") + " listed here."
	}
	if behind > 0 {
		text += " " + plural(behind, "change") + " of ours " + pick(behind == 1, "has", "have") + " yet to arrive."
	}
	return text
}

// view is the picture, or what stands for it.
func (p *pods) view() app.UI {
	switch {
	case !p.list.Done && p.list.Err != nil:
		return failure(p.list.Err, p.load)
	case !p.list.Done:
		return elem("div").Class("map skeleton").Body(
			elem("p").Class("off-screen").Role("status").Text("Loading the network"),
			elem("span").Class("thumb"),
		)
	}
	around := p.those(network.Friend)
	if p.isAdmin() {
		around = p.those(network.Friend, network.Asked)
	}
	return networkMap(p.env.frame.PodName(), around, p.chosen, p.choose)
}

func (p *pods) choose(h network.Host) { p.chosen = h }

// stale says that what is shown could not be asked for again.
func (p *pods) stale() app.UI {
	if !p.list.Done || p.list.Err == nil {
		return nil
	}
	return elem("p").Class("problem").Role("status").Text("This is how it was before. " + p.list.Err.Message)
}

func (p *pods) friends(friends []api.Friend) app.UI {
	switch {
	case !p.list.Done:
		return nil
	case len(friends) == 0:
		return elem("section").Class("panel alone").Aria("labelledby", "friends").Body(
			elem("h2").ID("friends").Text("This pod is alone so far"),
			elem("p").Class("dim").Text(pick(p.isAdmin(), "Join a pod that you know, below: its friends become friends of this one too. Their videos appear here, and yours appear there.",
				"When its operator joins other pods, their videos appear here, and the videos of this pod appear there.")),
		)
	}
	return p.section("friends", "Friends", friends)
}

// operator is what only administrators see.
func (p *pods) operator() app.UI {
	if !p.isAdmin() || !p.list.Done {
		return nil
	}
	others := p.those(network.Asked, network.Left, network.Revoked, network.Blocked)
	return elem("div").Class("network-side").Body(
		&p.join,
		elem("div").Class("slot").Body(app.If(len(others) > 0, p.section("no-friends", "Not friends", others))),
		&p.ask,
	)
}
