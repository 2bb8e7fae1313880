// The service worker's part for the app's own files. What answers /stream/ from the
// swarm engine stands before it in the same file.
const shellVersion = "KINOPOD_VERSION";
const shellFiles = KINOPOD_FILES;
const shellApp = "KINOPOD_WASM";
const shellPage = "/offline";
const shellCache = "kinopod-shell-" + shellVersion;

// A first visit is about the page that is open: its film, then the app. The shell is
// kept when the page says that the app runs. A newer worker keeps its own shell before
// it takes the place of the one that is there.
self.addEventListener("install", (event) => {
  self.skipWaiting();
  event.waitUntil(
    (async () => {
      const names = await caches.keys();
      if (names.some((name) => name.startsWith("kinopod-shell-"))) await keepShell();
    })(),
  );
});

self.addEventListener("activate", (event) => {
  event.waitUntil(
    (async () => {
      await self.clients.claim();
      for (const name of await caches.keys()) {
        if (name.startsWith("kinopod-shell-") && name !== shellCache) await caches.delete(name);
      }
      if (self.registration.navigationPreload) await self.registration.navigationPreload.enable();
    })(),
  );
});

self.addEventListener("message", (event) => {
  if (!event.data || event.data.kinopod !== "keep") return;
  event.waitUntil(keepShell().then(keepApp).catch(() => {}));
});

async function keepShell() {
  const cache = await caches.open(shellCache);
  if (!(await cache.match(shellPage))) await cache.addAll(shellFiles.map((f) => new Request(f, { credentials: "omit" })));
}

// keepApp keeps the app itself, which is large: the page has it, so that it comes from
// the browser's own cache.
async function keepApp() {
  const cache = await caches.open(shellCache);
  if (!(await cache.match(shellApp))) await cache.add(shellApp);
}

self.addEventListener("fetch", (event) => {
  const request = event.request;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== self.location.origin) return;
  if (request.mode === "navigate") {
    if (!/^\/(api|stream|tracker|videos|thumbnails|federation|\.well-known)\//.test(url.pathname)) event.respondWith(openPage(event));
    return;
  }
  if (url.pathname.startsWith("/web/") || url.pathname === "/manifest.webmanifest") event.respondWith(ownFile(request));
});

// openPage asks the pod; where it cannot be reached the kept page opens, and the app
// in it shows what it can at this address.
async function openPage(event) {
  try {
    const answer = (await event.preloadResponse) || (await fetch(event.request));
    if (answer.status !== 502 && answer.status !== 504) return answer;
    return (await keptPage()) || answer;
  } catch (err) {
    const kept = await keptPage();
    if (kept) return kept;
    throw err;
  }
}

function keptPage() {
  return caches.open(shellCache).then((cache) => cache.match(shellPage));
}

// ownFile: the address of a file names its content, so one that is kept is right.
async function ownFile(request) {
  const cache = await caches.open(shellCache);
  return (await cache.match(request)) || fetch(request);
}
