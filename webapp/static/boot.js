// Starts the app: registers the service worker, loads the WebAssembly, and keeps in
// window.kinopod what the app needs of the document around it.
"use strict";
(() => {
  const self = document.currentScript.dataset;
  const root = document.documentElement;
  const themeCookie = "kinopod_theme";

  // ---- Theme: dark or light by the system's wish, unless the viewer chose.

  const chosenTheme = () => (document.cookie.match(/(?:^|; )kinopod_theme=(dark|light)/) || [])[1];
  const setTheme = (theme) => {
    root.dataset.theme = theme;
    for (const meta of document.querySelectorAll('meta[name="theme-color"]')) {
      meta.content = theme === "light" ? self.light : self.dark;
    }
    dispatchEvent(new Event("kinopod-theme"));
  };
  const toggleTheme = () => {
    const now = root.dataset.theme || (matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark");
    const theme = now === "light" ? "dark" : "light";
    document.cookie = `${themeCookie}=${theme}; Path=/; Max-Age=31536000; SameSite=Lax`;
    setTheme(theme);
  };
  if (chosenTheme() && chosenTheme() !== root.dataset.theme) setTheme(chosenTheme()); // the kept shell knows no cookie
  matchMedia("(prefers-color-scheme: light)").addEventListener("change", () => dispatchEvent(new Event("kinopod-theme")));

  // ---- Other viewers (webapp/sharing): what the viewer said of them, and the notice that
  // tells of them first. It has told once it was in sight for a while, or was answered.

  const sharingKey = "kinopod-sharing";
  const toldAfter = 1000; // ms in sight
  const goneAfter = 20000; // ms in sight; the panel says the same
  const look = 250; // ms
  let sharing = "{}";
  try {
    sharing = localStorage.getItem(sharingKey) || "{}";
  } catch {
    // Not even read: it holds for this visit.
  }
  const choice = () => {
    try {
      return { told: false, ...JSON.parse(sharing) };
    } catch {
      return { told: false };
    }
  };
  const heard = (text) => {
    sharing = text || "{}";
    dispatchEvent(new Event("kinopod-sharing"));
  };
  const share = (text) => {
    try {
      localStorage.setItem(sharingKey, text);
    } catch {
      // As above.
    }
    heard(text);
  };
  const told = (more) => share(JSON.stringify({ ...choice(), told: true, ...more }));
  const inSight = (e) => {
    if (!e || document.visibilityState !== "visible" || document.fullscreenElement) return false;
    const { top, bottom, height } = e.getBoundingClientRect();
    return height > 0 && top >= 0 && bottom <= innerHeight + 1;
  };
  if (!choice().told) {
    root.dataset.tell = "";
    let seen = 0; // ms
    let looked; // when it was in sight at the last look; undefined where it was not
    const done = () => {
      delete root.dataset.tell;
      clearInterval(timer);
    };
    const timer = setInterval(() => {
      const notice = document.getElementById("tell");
      const last = looked;
      looked = inSight(notice) ? performance.now() : undefined;
      if (!looked) return;
      seen += last ? Math.min(looked - last, 4 * look) : look; // a busy device looks late
      if (seen >= toldAfter && !choice().told) told();
      if (seen >= goneAfter && !notice.matches(":hover, :focus-within")) done();
    }, look);
    document.addEventListener("click", (e) => {
      const button = e.target.closest && e.target.closest("[data-told]");
      if (!button) return;
      told({ alone: button.dataset.told === "alone" });
      done();
    });
  }
  addEventListener("storage", (e) => {
    if (e.key === sharingKey || e.key === null) heard(e.newValue);
  });

  // ---- What was typed before the app took over.

  let typed = null;
  const keepTyped = () => {
    const active = document.activeElement;
    typed = { fields: [], active: active && active.id, range: null };
    for (const field of document.querySelectorAll("input[id], textarea[id]")) {
      if (field.value) typed.fields.push([field.id, field.value]);
    }
    if (active && "selectionStart" in active) typed.range = [active.selectionStart, active.selectionEnd];
  };
  const restoreTyped = () => {
    for (const [id, value] of typed.fields) {
      const field = document.getElementById(id);
      if (!field || field.value === value) continue;
      field.value = value;
      field.dispatchEvent(new Event("input", { bubbles: true }));
    }
    const active = typed.active && document.getElementById(typed.active);
    if (active) {
      active.focus({ preventScroll: true });
      if (typed.range && active.setSelectionRange && typed.range[0] !== null) active.setSelectionRange(...typed.range);
    }
    typed = null;
  };

  // ---- Addresses. The app changes its screen when the address changes (onAddress);
  // go-app's own way, which it would take for the same events, does not come to it.

  let back = false;
  const wentBack = () => {
    const was = back;
    back = false;
    return was;
  };
  const changed = () => window.kinopod.onAddress && window.kinopod.onAddress();
  const navigate = (address) => {
    if (new URL(address, location).href === location.href) return scrollTo(0, 0);
    history.pushState(null, "", address);
    changed();
  };
  const replace = (address) => {
    history.replaceState(null, "", address);
    changed();
  };
  addEventListener("popstate", (e) => {
    if (!window.kinopod.onAddress) return;
    e.stopImmediatePropagation();
    back = true;
    changed();
  });
  const manageScrolling = () => {
    history.scrollRestoration = "manual";
    addEventListener("pagehide", () => (history.scrollRestoration = "auto"));
  };
  // A plain click on a link to the app is the app's. All others are the browser's:
  // another tab or window, a download, a place in this page, another scheme or site.
  document.addEventListener("click", (e) => {
    const a = e.target.closest && e.target.closest("a[href]");
    if (!a) return;
    e.stopPropagation();
    const plain = e.button === 0 && !e.metaKey && !e.ctrlKey && !e.shiftKey && !e.altKey;
    if (
      !window.kinopod.onAddress || e.defaultPrevented || !plain || a.target || a.hasAttribute("download") ||
      a.origin !== location.origin || a.getAttribute("href").startsWith("#")
    ) {
      return;
    }
    e.preventDefault();
    navigate(a.href);
  });

  // ---- Clipboard. Without a secure context there is only the old way.

  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      const field = document.createElement("textarea");
      field.value = text;
      field.className = "off-screen";
      (document.querySelector("dialog[open]") || document.body).append(field);
      field.select();
      const done = document.execCommand("copy");
      field.remove();
      return done;
    }
  };

  // ---- Installing and updating, by the names that go-app asks for.

  let offer = null;
  window.goappOnUpdate = window.goappOnAppInstallChange = window.goappNav = () => {};
  window.goappGetenv = () => "";
  window.goappIsAppInstalled = () => matchMedia("(display-mode: standalone)").matches || navigator.standalone === true;
  window.goappIsAppInstallable = () => offer !== null && !window.goappIsAppInstalled();
  window.goappShowInstallPrompt = async () => {
    if (!offer) return;
    const o = offer;
    offer = null;
    o.prompt();
    await o.userChoice;
    window.goappOnAppInstallChange();
  };
  addEventListener("beforeinstallprompt", (e) => {
    e.preventDefault();
    offer = e;
    window.goappOnAppInstallChange();
  });
  addEventListener("appinstalled", () => {
    offer = null;
    window.goappOnAppInstallChange();
  });

  const worker = async () => {
    if (!("serviceWorker" in navigator)) return;
    try {
      const controlled = navigator.serviceWorker.controller !== null;
      const registration = await navigator.serviceWorker.register(self.worker);
      registration.addEventListener("updatefound", () => {
        const next = registration.installing;
        next.addEventListener("statechange", () => {
          if (next.state === "activated" && controlled) window.goappOnUpdate();
        });
      });
    } catch (err) {
      console.warn("Kinopod works without its service worker:", err);
    }
  };

  // ---- The film before the app. Its first frame comes first: what the app takes of
  // line and processor has to wait. What follows waits in turn for the app's engine, as
  // long as enough is ahead (player/stream_worker.js).

  const patience = 4000; // ms
  const leastAhead = 1; // seconds of film that are enough until the engine is there
  const mostAhead = 5; // where it is late: the device has much to do, or it never comes
  const perFrame = 3; // times what the first frame took are enough, too: what comes next takes as long
  const film = () => document.querySelector("video[src]");
  const shown = () =>
    new Promise((resolve) => {
      const video = film();
      if (!video || video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA) return resolve();
      for (const event of ["loadeddata", "error"]) video.addEventListener(event, resolve, { once: true });
      // A browser that will not load more by itself rests too; so does one that looks for
      // an index at the end of the film, and that is not done.
      video.addEventListener("suspend", () => video.readyState >= HTMLMediaElement.HAVE_METADATA && resolve());
      setTimeout(resolve, patience);
    });
  const hasAhead = (video) => {
    for (let i = 0; i < video.buffered.length; i++) {
      const ahead = video.buffered.end(i) - video.currentTime;
      if (video.buffered.start(i) <= video.currentTime + 0.1 && ahead > 0) return ahead;
    }
    return 0;
  };
  let began = 0; // to load
  let firstFrame = 0; // ms that it took; 0 for not yet
  document.addEventListener("loadstart", () => ((began = performance.now()), (firstFrame = 0)), true);
  document.addEventListener("loadeddata", () => (firstFrame ||= performance.now() - began), true);
  const enough = () => Math.min(mostAhead, Math.max(leastAhead, (perFrame * firstFrame) / 1000, (mostAhead * (performance.now() - began)) / (2 * patience)));
  // While the app starts, nothing of the film gets through the page: it has enough before.
  const furnished = async () => {
    const video = film();
    const end = performance.now() + patience / 2;
    while (video && !video.paused && !video.ended && hasAhead(video) < enough() && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 50));
  };
  const hold = (port) => {
    let timer = 0;
    const say = () => {
      const video = film();
      const spare = video ? hasAhead(video) - enough() : 0;
      if (!(spare > 0) || video.readyState < HTMLMediaElement.HAVE_FUTURE_DATA || root.dataset.app === "failed") return port.postMessage(0);
      port.postMessage((spare * 1000) / Math.max(1, video.playbackRate));
      timer = setTimeout(say, 50);
    };
    port.onmessage = () => clearTimeout(timer); // it is held no longer
    say();
  };
  if ("serviceWorker" in navigator) {
    navigator.serviceWorker.addEventListener("message", ({ data, ports }) => {
      if (data && data.kinopod === "hold") hold(ports[0]);
    });
    navigator.serviceWorker.startMessages();
  }

  // ---- Bytes. What the engine does with each message, in one step out of WebAssembly.

  const copyBytes = (to, at, from, begin, end) => to.set(from.subarray(begin, end), at);
  const sendBytes = (channel, head, length, body, from, to) => {
    if (channel.readyState !== "open") return 0;
    const message = new Uint8Array(length + to - from);
    message.set(head.subarray(0, length));
    if (to > from) message.set(body.subarray(from, to), length);
    channel.send(message);
    return channel.bufferedAmount;
  };
  const onBytes = (channel, take) => {
    channel.onmessage = ({ data }) => (typeof data === "string" ? take() : take(new Uint8Array(data), data.byteLength));
  };

  // carried promises [bytes sent, bytes received] of the packets of a connection, with headers
  // bytes each; null where the browser counts no packets.
  const carried = async (connection, headers) => {
    for (const s of (await connection.getStats()).values()) {
      if (s.type === "transport" && s.packetsSent !== undefined) return [s.bytesSent + headers * s.packetsSent, s.bytesReceived + headers * s.packetsReceived];
    }
    return null;
  };

  // ---- Start.

  const mounted = () => {
    root.dataset.app = "ready";
    performance.mark("kinopod-mounted");
    if ("serviceWorker" in navigator) {
      // Now that the app has come, it can be kept for visits without a network.
      navigator.serviceWorker.ready.then((r) => r.active.postMessage({ kinopod: "keep" }));
    }
  };
  const failed = (err) => {
    console.error("The app stopped:", err);
    root.dataset.app = "failed";
    // The film goes on without the engine.
    if ("serviceWorker" in navigator && navigator.serviceWorker.controller) navigator.serviceWorker.controller.postMessage({ kinopod: "failed" });
    document.getElementById("app-failed").hidden = false;
  };
  const start = async () => {
    const go = new Go();
    const { instance } = await WebAssembly.instantiateStreaming(fetch(self.wasm), go.importObject);
    performance.mark("kinopod-compiled");
    await furnished();
    await go.run(instance);
    throw new Error("the program ended");
  };

  window.kinopod = { sharing: () => sharing, share, toggleTheme, keepTyped, restoreTyped, wentBack, manageScrolling, navigate, replace, firstFrame: () => firstFrame, copy, copyBytes, sendBytes, onBytes, carried, mounted, ignore: () => {}, onAddress: null };
  worker();
  shown()
    .then(() => {
      if (film()) film().controls = true;
      return start();
    })
    .catch(failed);
})();
