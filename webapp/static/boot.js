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
  const ahead = 1; // seconds of film that are enough until the engine is there
  const aheadWhenLate = 5; // it may never come
  const film = () => document.querySelector("video[src]");
  const shown = () =>
    new Promise((resolve) => {
      const video = film();
      if (!video || video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA) return resolve();
      for (const event of ["loadeddata", "error", "suspend"]) video.addEventListener(event, resolve, { once: true });
      setTimeout(resolve, patience);
    });
  const hasAhead = (video, seconds) => {
    for (let i = 0; i < video.buffered.length; i++) {
      if (video.buffered.start(i) <= video.currentTime + 0.1 && video.buffered.end(i) > video.currentTime + seconds) return true;
    }
    return false;
  };
  let began = 0; // to load
  document.addEventListener("loadstart", () => (began = performance.now()), true);
  const hold = (port) => {
    const video = film();
    const seconds = performance.now() - began > 2 * patience ? aheadWhenLate : ahead;
    if (!video || video.readyState < HTMLMediaElement.HAVE_FUTURE_DATA || root.dataset.app === "failed" || !hasAhead(video, seconds)) return port.postMessage("plain");
    port.postMessage("held");
    setTimeout(() => hold(port), 50);
  };
  if ("serviceWorker" in navigator) {
    navigator.serviceWorker.addEventListener("message", ({ data, ports }) => {
      if (data && data.kinopod === "hold") hold(ports[0]);
    });
    navigator.serviceWorker.startMessages();
  }

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
    await go.run(instance);
    throw new Error("the program ended");
  };

  window.kinopod = { toggleTheme, keepTyped, restoreTyped, wentBack, manageScrolling, navigate, replace, copy, mounted, ignore: () => {}, onAddress: null };
  worker();
  shown()
    .then(() => {
      if (film()) film().controls = true;
      return start();
    })
    .catch(failed);
})();
