package page

import (
	"context"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/maxence-charriere/go-app/v9/pkg/app"

	"kinopod/shared/api"
	"kinopod/shared/network"
)

func (p *pods) section(id, title string, list []api.Friend) app.UI {
	return elem("section").Class("panel").Aria("labelledby", id).Body(
		elem("div").Class("panel-head").Body(
			elem("h2").ID(id).TabIndex(-1).Text(title),
			elem("span").Class("chip").Text(strconv.Itoa(len(list))),
		),
		elem("ul").Class("pods").Body(app.Range(list).Slice(func(i int) app.UI { return p.row(list[i]) })),
	)
}

// row is what is known of one pod.
func (p *pods) row(f api.Friend) app.UI {
	id := podAnchor + string(f.Host)
	return elem("li").ID(id).Class("pod-row").TabIndex(-1).DataSet("link", linkOf(f)).Aria("current", f.Host == p.chosen).Aria("labelledby", id+"-name").Body(
		elem("div").Class("pod-head").Body(
			elem("span").Class("pod-mark").Aria("hidden", true).Text(initial(podName(f))),
			elem("div").Class("pod-name").Body(
				elem("h3").ID(id+"-name").Dir("auto").Text(podName(f)),
				elem("p").Class("dim").Text(string(f.Host)+since(f, p.now)),
			),
			elem("span").Class("pod-state").Text(stateName(f)),
		),
		app.If(f.State == network.Friend, p.facts(f, id)),
		app.If(p.isAdmin(), elem("div").Class("pod-operator").Body(
			app.If(f.Problem != "", elem("p").Class("pod-problem").Dir("auto").Text(f.Problem)),
			p.actions(f),
		)),
	)
}

func (p *pods) facts(f api.Friend, id string) app.UI {
	last := "Nothing yet"
	if !f.LastDelivery.IsZero() {
		last = formatAgo(f.LastDelivery, p.now)
	}
	return elem("dl").Class("pod-facts").Body(
		fact("Score",
			elem("span").Class("pod-score").Body(
				elem("meter").ID(id+"-score").Aria("label", "Score of "+podName(f)).Attr("min", 0).Attr("max", max(int(f.Score), int(network.DefaultScore))).Attr("value", int(f.Score)),
				elem("span").Text(strconv.Itoa(int(f.Score))),
			),
		),
		fact("Videos", videosOf(f)),
		fact("Last delivery", elem("span").Text(last)),
		fact("Waiting to be sent", elem("span").Class(pick(f.Behind > 0, "pod-behind", "dim")).Text(waiting(f))),
	)
}

func fact(name string, value app.UI) app.UI {
	return elem("div").Body(elem("dt").Text(name), elem("dd").Body(value))
}

// videosOf leads to the videos of a pod.
func videosOf(f api.Friend) app.UI {
	if f.Videos == 0 {
		return elem("span").Class("dim").Text("None")
	}
	return elem("a").Attr("href", "/?origin="+url.QueryEscape(string(f.Host))).Text(plural(f.Videos, "video")).Aria("label", plural(f.Videos, "video")+" of "+podName(f))
}

// waiting says how far behind a friend is.
func waiting(f api.Friend) string {
	switch {
	case f.Behind == 0:
		return "Up to date"
	case f.Reachable && !f.Dormant:
		return plural(f.Behind, "change") + " on the way"
	}
	return plural(f.Behind, "change") + pick(f.Behind == 1, " waits", " wait")
}

// podName is what a pod calls itself, its host before it has said so.
func podName(f api.Friend) string {
	if name := strings.TrimSpace(f.Name); name != "" {
		return name
	}
	return string(f.Host)
}

// linkOf is what the line to a pod looks like: a state, or "lost" for a friend that
// cannot be reached, and "dormant" for one that has to upgrade.
func linkOf(f api.Friend) string {
	if f.State == network.Friend && f.Dormant {
		return "dormant"
	}
	if f.State == network.Friend && !f.Reachable {
		return "lost"
	}
	return string(f.State)
}

// stateName is the state in words.
func stateName(f api.Friend) string {
	switch f.State {
	case network.Friend:
		if f.Dormant {
			return "Dormant: it speaks another version"
		}
		return pick(f.Reachable, "Reachable", "Not reachable")
	case network.Asked:
		return "Asked"
	case network.Left:
		return "Left"
	case network.Revoked:
		return "Revoked"
	case network.Blocked:
		return "Blocked"
	}
	return string(f.State)
}

// since says for how long a pod has been in its state.
func since(f api.Friend, now time.Time) string {
	if f.Since.IsZero() {
		return ""
	}
	return " · " + pick(f.State == network.Friend, "joined ", strings.ToLower(stateName(f))+" ") + formatAgo(f.Since, now)
}

// actions are what an administrator may do about a pod.
func (p *pods) actions(f api.Friend) app.UI {
	h, name := string(f.Host), podName(f)
	block := action("Block", name, true, func() {
		p.confirm(f, "Block "+name+"?", "The videos of "+h+" leave the lists of this pod, and it gets no news of ours. It is kept out until you unblock it, also when a network is joined that it is part of.",
			"Block", name+" is blocked.", p.env.API.BlockPod)
	}, f.Host, f.State, name)
	var first app.UI
	switch f.State {
	case network.Friend:
		first = action("Leave", name, false, func() {
			p.confirm(f, "Leave "+name+"?", "The friendship with "+h+" ends: its videos leave the lists of this pod, and ours leave its lists. You can join it again.",
				"Leave", "This pod has left "+name+".", p.env.API.LeavePod)
		}, f.Host, f.State, name)
	case network.Asked:
		first = action("Stop asking", name, false, func() {
			p.confirm(f, "Stop asking "+name+"?", h+" has not answered yet. You can ask it again.", "Stop asking", name+" is no longer asked.", p.env.API.LeavePod)
		}, f.Host, f.State, name)
	case network.Blocked:
		return elem("div").Class("actions").Body(action("Unblock", name, false, func() {
			p.confirm(f, "Unblock "+name+"?", h+" may become a friend again: when it asks, or when you join it. Its videos come back only then.",
				"Unblock", name+" is no longer blocked.", p.env.API.UnblockPod)
		}, f.Host, f.State, name))
	default:
		first = action(pick(p.again == f.Host, "Asking…", "Join again"), name, false, func() { p.joinAgain(f.Host) }, f.Host, f.State, name)
	}
	return elem("div").Class("actions").Body(first, block)
}

// action is a button of a row. Rows move: scope is what the handler closes over.
func action(text, of string, danger bool, f func(), scope ...any) app.UI {
	return elem("button").Attr("type", "button").Class(pick(danger, "button quiet small danger", "button quiet small")).Text(text).Aria("label", text+": "+of).
		OnClick(func(app.Context, app.Event) { f() }, scope...)
}

func (p *pods) confirm(f api.Friend, title, text, yes, done string, act func(context.Context, network.Host) error) {
	p.ask.ask(title, text, yes, func() {
		do(p.ctx, func(c context.Context) error { return act(c, f.Host) }, func(err error) {
			if err != nil {
				p.ask.fail(err)
				p.env.check(api.AsError(err))
				return
			}
			p.ask.close()
			p.changed(done)
		})
	})
}

// changed is called when who is a friend has changed.
func (p *pods) changed(text string) {
	p.env.feeds = nil // they may show videos that have gone
	p.env.say(text)
	p.load()
}

func (p *pods) joinAgain(h network.Host) {
	if p.again != "" {
		return
	}
	p.again = h
	do(p.ctx, func(c context.Context) error { return p.env.API.JoinPods(c, api.PodsToJoin{Hosts: []network.Host{h}}) }, func(err error) {
		p.again = ""
		if err != nil {
			p.env.say(api.AsError(err).Message)
			p.env.check(api.AsError(err))
			return
		}
		p.changed(string(h) + " is asked for friendship.")
	})
}

// joinForm asks another pod for friendship.
type joinForm struct {
	component

	env    *Env
	joined func()
	host   text
	busy   bool
	err    *api.Error
}

// Render implements app.Composer.
func (j *joinForm) Render() app.UI {
	return section("join", "Join a pod",
		form("Join a pod", j.send,
			elem("div").Class("join-line").Body(
				field{
					id: "join-host", label: "Its host", kind: "text", autocomplete: "off", placeholder: "pod.example", value: &j.host, required: true,
					hint: "It is asked for friendship, and so are its friends.",
				}.render(),
				submit(j.busy, "Join", "Asking…"),
			),
			problem(j.err),
		),
	)
}

func (j *joinForm) send() {
	if j.busy {
		return
	}
	h, err := parsePod(j.host.now, j.env.Pod.Host)
	if j.err = err; err != nil {
		return
	}
	j.busy = true
	do(j.ctx, func(c context.Context) error { return j.env.API.JoinPods(c, api.PodsToJoin{Hosts: []network.Host{h}}) }, func(err error) {
		j.busy = false
		if err != nil {
			j.err = api.AsError(err)
			j.env.check(j.err)
			return
		}
		j.host.clear("join-host")
		j.env.say(string(h) + " is asked for friendship.")
		j.joined()
	})
}

// parsePod reads the host of another pod as it was typed, and says what is wrong with it.
func parsePod(typed string, us network.Host) (network.Host, *api.Error) {
	typed = strings.TrimSpace(typed)
	h, err := network.ParseHost(typed)
	switch {
	case err == nil && h == us:
		return "", invalid("This is the pod that you are on. Name another one.")
	case err == nil:
		return h, nil
	case typed == "":
		return "", invalid("Name the pod that you want to join.")
	case strings.Contains(typed, "://"):
		return "", invalid("Without “" + typed[:strings.Index(typed, "://")+3] + "”, please: only the host, like pod.example or pod.example:9090.")
	case strings.Contains(typed, "/"):
		return "", invalid("Without what follows the “/”, please: only the host, like pod.example or pod.example:9090.")
	case strings.Contains(typed, "@"):
		return "", invalid("Without what stands before the “@”, please: only the host, like pod.example.")
	case strings.ContainsAny(typed, " ,;"):
		return "", invalid("One pod at a time, please.")
	}
	return "", invalid("“" + cut(typed, 60) + "” is no host. One looks like pod.example or pod.example:9090.")
}
