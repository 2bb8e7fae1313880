package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"kinopod/build/browser"
	"kinopod/shared/api"
)

// countedViewer is the command by which counters runs itself in a network namespace.
const countedViewer = "counted-viewer"

// counters lets two Chromiums watch one film, each in a network namespace of its own. One
// wire (veth) goes between them, another from each to the pod: on the first is WebRTC and
// nothing else, on the others HTTP. What the panels tell stands beside what the wires
// counted, without the 14 bytes of Ethernet of each packet.
func counters(ctx context.Context, args []string) (err error) {
	seconds, megabits := 40, 4.0
	if err := flags("counters", args, func(f *flag.FlagSet) {
		f.IntVar(&seconds, "seconds", seconds, "length of the film")
		f.Float64Var(&megabits, "megabits", megabits, "bit rate of the film, Mbit/s")
	}); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		fmt.Println("left out: network namespaces need root")
		return nil
	}
	file, size, remove, err := tempFilm(ctx, seconds, megabits)
	if err != nil {
		return err
	}
	defer remove()
	p, err := startPod(ctx, shape{})
	if err != nil {
		return err
	}
	defer p.stop()
	v, err := p.upload(ctx, file)
	if err != nil {
		return err
	}
	w, err := newWires(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	var viewers [2]*counted
	for i := range viewers {
		l, err := newLineAt(w.gateway(i), strings.TrimPrefix(p.Base, "http://"), shape{})
		if err != nil {
			return err
		}
		defer l.close()
		if viewers[i], err = w.view(ctx, i, l.addr(), api.WatchPath(v.ID)); err != nil {
			return err
		}
		defer viewers[i].stop()
	}
	fmt.Printf("a film of %d bytes; the second viewer came when the first had it; network namespaces, veth, no shaping\n", size)
	for i, viewer := range viewers {
		tells, err := viewer.tell()
		if err != nil {
			return err
		}
		up, down, err := w.carried(ctx, i)
		if err != nil {
			return err
		}
		fmt.Printf("viewer %d: sent in all %9d, the interface %9d in %6d packets: %s\n", i+1, tells.Sent, up.ip(), up.Packets, off(tells.Sent, up.ip()))
		fmt.Printf("          received in all %5d, the interface %8d in %6d packets: %s\n", tells.Received, down.ip(), down.Packets, off(tells.Received, down.ip()))
		fmt.Printf("          saved the pod %7d, of the film by HTTP %8d, together %9d: %s of the film\n", tells.Saved, tells.Media, tells.Saved+tells.Media, off(tells.Saved+tells.Media, size))
		fmt.Printf("          given %15d\n", tells.Given)
	}
	return nil
}

// off is how far a is from b.
func off(a, b int64) string {
	if b == 0 {
		return "nothing counted"
	}
	return fmt.Sprintf("%+.2f %%", 100*(float64(a)/float64(b)-1))
}

// wires are two network namespaces, and what joins them.
type wires struct {
	id    int
	names [2]string
}

func newWires(ctx context.Context) (_ *wires, err error) {
	w := &wires{id: os.Getpid()}
	for i := range w.names {
		w.names[i] = fmt.Sprintf("kinopod-%d-%d", w.id, i)
	}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	for _, n := range w.names {
		if err := ip(ctx, "netns", "add", n); err != nil {
			return nil, err
		}
	}
	if err := ip(ctx, "link", "add", "viewers", "netns", w.names[0], "type", "veth", "peer", "name", "viewers", "netns", w.names[1]); err != nil {
		return nil, err
	}
	for i, n := range w.names {
		host := w.hostEnd(i)
		for _, args := range []string{
			fmt.Sprintf("link add %s type veth peer name pod netns %s", host, n),
			fmt.Sprintf("addr add %s/24 dev %s", w.gateway(i), host),
			fmt.Sprintf("link set %s up", host),
			fmt.Sprintf("-n %s link set lo up", n),
			fmt.Sprintf("-n %s addr add 10.%d.%d.2/24 dev pod", n, 64+w.id%64, i+1),
			fmt.Sprintf("-n %s link set pod up", n),
			fmt.Sprintf("-n %s addr add 10.%d.9.%d/24 dev viewers", n, 64+w.id%64, i+1),
			fmt.Sprintf("-n %s link set viewers up", n),
			fmt.Sprintf("-n %s route add default dev viewers", n), // whose address a browser takes
		} {
			if err := ip(ctx, strings.Fields(args)...); err != nil {
				return nil, err
			}
		}
	}
	return w, nil
}

func (w *wires) hostEnd(i int) string { return fmt.Sprintf("kp%d-%d", w.id, i) }

// gateway is the address of this machine that viewer i reaches.
func (w *wires) gateway(i int) string { return fmt.Sprintf("10.%d.%d.1", 64+w.id%64, i+1) }

func (w *wires) close() {
	for _, n := range w.names {
		_ = ip(context.Background(), "netns", "del", n) // and all wires that end there
	}
}

func ip(ctx context.Context, args ...string) error {
	if out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// carried is what went over the wire between the viewers, as the interface of viewer i
// counts it.
func (w *wires) carried(ctx context.Context, i int) (up, down packets, err error) {
	out, err := exec.CommandContext(ctx, "ip", "-n", w.names[i], "-j", "-s", "link", "show", "dev", "viewers").Output()
	if err != nil {
		return up, down, fmt.Errorf("read the counters: %w", err)
	}
	var links []struct {
		Stats struct {
			TX, RX struct{ Bytes, Packets int64 }
		} `json:"stats64"`
	}
	if err := json.Unmarshal(out, &links); err != nil || len(links) != 1 {
		return up, down, fmt.Errorf("read the counters: %w: %s", err, out)
	}
	return links[0].Stats.TX, links[0].Stats.RX, nil
}

// packets are what an interface counts, with Ethernet.
type packets struct{ Bytes, Packets int64 }

func (p packets) ip() int64 { return p.Bytes - 14*p.Packets }

// counted is a viewer in a namespace.
type counted struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// tells is what a viewer's panel tells, and what of the film came by HTTP.
type tells struct{ Given, Saved, Sent, Received, Media int64 }

// view starts a viewer, and waits until it has the film.
func (w *wires) view(ctx context.Context, i int, pod, path string) (*counted, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	v := &counted{cmd: exec.CommandContext(ctx, "ip", "netns", "exec", w.names[i], self, countedViewer, pod, path)}
	v.cmd.Stderr = os.Stderr
	if v.in, err = v.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := v.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := v.cmd.Start(); err != nil {
		return nil, err
	}
	if v.out = bufio.NewScanner(out); !v.out.Scan() || v.out.Text() != "whole" {
		v.stop()
		return nil, errors.New("a viewer did not get the film")
	}
	return v, nil
}

func (v *counted) tell() (t tells, err error) {
	if _, err := fmt.Fprintln(v.in, "tell"); err != nil {
		return t, err
	}
	if !v.out.Scan() {
		return t, errors.New("a viewer ended")
	}
	return t, json.Unmarshal(v.out.Bytes(), &t)
}

func (v *counted) stop() {
	_ = v.in.Close()
	_ = v.cmd.Wait()
}

// watchCounted is the viewer: it watches until the whole film is there, says so, and tells
// what it knows for each line that it reads.
func watchCounted(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return errors.New("this is for the bench counters only")
	}
	l, err := newLine(args[0], shape{})
	if err != nil {
		return err
	}
	defer l.close()
	b, err := browser.Start(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	p, done, err := b.QuietPage()
	if err != nil {
		return err
	}
	defer done()
	for _, step := range []func() error{
		func() error { return p.Told("") }, p.Front, func() error { return p.Open("http://" + l.addr() + args[1]) },
		func() error {
			return p.Until(3*time.Minute, `(document.getElementById("swarm-panel")?.scrollIntoView(), /^Complete/.test(document.querySelector(".swarm .chip")?.textContent))`)
		},
	} {
		if err := step(); err != nil {
			return err
		}
	}
	fmt.Println("whole")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		time.Sleep(10 * time.Second) // for what is on its way, and until the panel knows of it
		t, err := browser.Eval[tells](p, `(() => { const n = (id) => Number(document.getElementById(id).value); return {Given: n("given-bytes"), Saved: n("saved-bytes"), Sent: n("sent-bytes"), Received: n("received-bytes")}; })()`)
		if err != nil {
			return err
		}
		t.Media = l.media.Load()
		line, err := json.Marshal(t)
		if err != nil {
			return err
		}
		fmt.Println(string(line))
	}
	return nil
}
