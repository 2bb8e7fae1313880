// Answers the <video> element's requests for /stream/{info hash}/{file} from the
// swarm engine of the page that asks, or of another tab that shows the same video: one of
// them has the engine (tabs_js.go). Without an engine they go to the pod, at the same
// address: the hand-over is a matter of which request comes next.
//
// Messages of a page: {kinopod: 'engine', infoHash, size, type} with a port when its engine
// is there, {kinopod: 'gone', infoHash} when it is not any more, {kinopod: 'failed'} (boot.js)
// when the app and all its engines are gone. Messages to a page:
// {kinopod: 'who'} when this worker was started anew and knows nothing, {kinopod: 'hold'}
// with a port; and through the engine's port, which is the shorter way, {from, to, beside}
// with a port: a stream of these bytes is wanted. beside says that another tab asks.
//
// After 'hold' the page (boot.js) says on the port for how many ms the film needs no
// bytes, again and again until the worker says 'end': so long the request waits for the
// engine, so that other viewers can answer it. A page that is busy with starting the app may
// say nothing for a while.
//
// On the port of a stream the worker says 'pull' or 'cancel'; the page says 'ready'
// once, then a Uint8Array a pull, null at the end, or a string with what went wrong. Some
// pulls are under way at a time (pullsAtOnce in stream_js.go): a page that is busy answers
// each late. An answer for another tab goes on with the next engine when the one that gives
// it ends.
'use strict';
(() => {
  const engines = new Map(); // info hash -> {id, size, type, port}, id of the client that has it
  const answers = new Map(); // info hash -> Set of answers under way: {source, move, fail}
  const prefetch = 4; // parts of an answer that wait for the element
  const shortly = 300; // ms until a page that has much to do is not waited for: the pod answers
  const patience = 1000; // ms until the engine of another tab is given up
  const mostMissed = 3; // times in a row that an engine may be too busy to answer
  const takeOver = 5000; // ms until another tab has to have the engine of one that was closed
  const handOver = Number('KINOPOD_HAND_OVER'); // bytes of an answer without an engine: the next range may have one
  const firstHandOver = Number('KINOPOD_FIRST_HAND_OVER'); // of the one that begins the film
  const waiting = new Set(); // requests that are held: functions that look for an engine

  self.addEventListener('message', (event) => {
    const m = event.data;
    if (!m || !event.source) return;
    const id = event.source.id;
    if (m.kinopod === 'engine') {
      engines.set(m.infoHash, { id, size: m.size, type: m.type, port: event.ports[0], missed: 0 });
      for (const look of waiting) look();
      for (const a of answers.get(m.infoHash) ?? []) if (a.source.id !== id) a.move();
    } else if (m.kinopod === 'gone') {
      if (engines.get(m.infoHash)?.id === id) engines.delete(m.infoHash);
    } else if (m.kinopod === 'failed') {
      for (const [infoHash, engine] of engines) if (engine.id === id) engines.delete(infoHash);
      for (const all of answers.values()) for (const a of all) if (a.source.id === id) a.fail('the app stopped'); // the element asks again
    }
  });

  self.addEventListener('fetch', (event) => {
    const url = new URL(event.request.url);
    const [, first, infoHash] = url.pathname.split('/');
    if (first !== 'stream') return;
    event.stopImmediatePropagation(); // no cache of ours
    const { destination } = event.request;
    if (destination !== 'video' && destination !== 'audio') return;
    const engine = engines.get(infoHash);
    if (engine) {
      event.respondWith(answer(event, infoHash, engine));
      return;
    }
    event.respondWith(before(event, infoHash));
  });

  // before answers without an engine, or with the one that came meanwhile. The first
  // bytes never wait.
  async function before(event, infoHash) {
    const page = event.clientId && await self.clients.get(event.clientId);
    if (!page) return plain(event.request);
    for (const client of await self.clients.matchAll({ type: 'window' })) client.postMessage({ kinopod: 'who' });
    const range = event.request.headers.get('Range');
    const engine = range && range !== 'bytes=0-' && await hold(event, page, infoHash);
    return engine ? answer(event, infoHash, engine) : plain(event.request);
  }

  // hold gives the engine when it is there, or undefined when the page wants the bytes
  // without it, or has no time to answer: it starts the app then, and the film has little ahead.
  function hold(event, page, infoHash) {
    const { port1: port, port2 } = new MessageChannel();
    return new Promise((resolve) => {
      const end = (engine) => {
        waiting.delete(look);
        clearTimeout(timer);
        port.postMessage('end');
        port.close();
        resolve(engine);
      };
      const look = () => {
        const engine = engines.get(infoHash);
        if (engine) end(engine);
      };
      let timer = setTimeout(end, shortly);
      port.onmessage = ({ data: ms }) => {
        clearTimeout(timer);
        if (!(ms > 0)) return end();
        timer = setTimeout(end, ms);
      };
      event.request.signal.addEventListener('abort', () => end());
      waiting.add(look);
      page.postMessage({ kinopod: 'hold' }, [port2]);
    });
  }

  // The pod cuts a range short by itself (pod/httpapi/stream.go), but cannot see what a
  // request is for when it comes through a worker.
  function plain(request) {
    const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.get('Range') ?? '') ?? [];
    const from = Number(first);
    const most = from === 0 ? firstHandOver : handOver;
    if (!first || (last && !(navigator.userAgentData && last - from >= most))) return fetch(request);
    return fetch(request.url, { headers: { Range: `bytes=${from}-${from + most - 1}` }, credentials: 'same-origin', signal: request.signal });
  }

  async function answer(event, infoHash, { size, type }) {
    const range = parse(event.request.headers.get('Range'), size);
    if (!range) {
      return new Response(null, { status: 416, headers: { 'Content-Range': `bytes */${size}` } });
    }
    const body = await stream(event.clientId, infoHash, range.from, range.to);
    if (!body) return plain(event.request);
    const headers = {
      'Content-Type': type,
      'Content-Length': String(range.to - range.from),
      'Accept-Ranges': 'bytes',
      'Cache-Control': 'no-store',
      ETag: `"${infoHash}"`,
    };
    if (range.partial) headers['Content-Range'] = `bytes ${range.from}-${range.to - 1}/${size}`;
    return new Response(body, { status: range.partial ? 206 : 200, headers });
  }

  // Gives {from, to (excluded), partial}, or null for what cannot be satisfied.
  function parse(header, size) {
    if (!header) return { from: 0, to: size, partial: false };
    const m = /^bytes=(\d*)-(\d*)$/.exec(header);
    if (!m || (m[1] === '' && m[2] === '')) return null;
    const from = m[1] === '' ? Math.max(0, size - Number(m[2])) : Number(m[1]);
    const to = m[1] === '' || m[2] === '' ? size : Math.min(size, Number(m[2]) + 1);
    return from < to ? { from, to, partial: true } : null;
  }

  // Gives {id, port} of the tab that has the engine, which gives the bytes from..to
  // through the port, or null where there is none that answers within wait ms.
  async function connect(clientId, infoHash, from, to, wait) {
    const engine = engines.get(infoHash);
    const { port1: port, port2 } = new MessageChannel();
    const ready = engine && await new Promise((resolve) => {
      const timer = setTimeout(resolve, wait);
      port.onmessage = () => { clearTimeout(timer); resolve(true); };
      engine.port.postMessage({ from, to, beside: engine.id !== clientId }, [port2]);
      if (engine.id !== clientId) self.clients.get(engine.id).then((page) => page || resolve()); // it was closed
    });
    if (ready) {
      engine.missed = 0;
      return { id: engine.id, port };
    }
    port.postMessage('cancel');
    port.close();
    if (engine && engines.get(infoHash) === engine && (engine.id !== clientId || ++engine.missed >= mostMissed)) engines.delete(infoHash);
    return null;
  }

  // Gives a stream of the bytes from..to for a client, or null where no engine answers.
  async function stream(clientId, infoHash, from, to) {
    const source = await connect(clientId, infoHash, from, to, engines.get(infoHash)?.id === clientId ? shortly : patience);
    if (!source) return null;
    const answer = { source, move, fail };
    if (!answers.has(infoHash)) answers.set(infoHash, new Set());
    answers.get(infoHash).add(answer);
    let at = from;
    let pulls = 0; // under way
    let timer = 0;
    let moving = false;
    let controller;
    const body = new ReadableStream({
      start(c) { controller = c; },
      pull,
      cancel() {
        answer.source.port.postMessage('cancel');
        end();
      },
    }, { highWaterMark: prefetch });
    listen();
    return body;

    function pull() {
      for (; pulls < controller.desiredSize; pulls++) answer.source.port.postMessage('pull');
    }
    function listen() {
      answer.source.port.onmessage = ({ data }) => {
        if (data instanceof Uint8Array) {
          at += data.length;
          pulls--;
          pass(() => controller.enqueue(data));
        } else if (data === null) {
          end();
          pass(() => controller.close());
        } else if (answer.source.id === clientId) {
          fail(data);
        } else {
          timer ||= setTimeout(fail, takeOver, data); // the next tab has the engine soon
        }
      };
    }
    function pass(f) {
      try { f(); } catch { /* the element went away meanwhile */ }
    }
    function end() {
      clearTimeout(timer);
      const all = answers.get(infoHash);
      all?.delete(answer);
      if (all?.size === 0) answers.delete(infoHash);
      answer.source.port.close();
    }
    function fail(why) {
      end();
      pass(() => controller.error(new Error(why)));
    }
    async function move() {
      if (moving) return; // a tab says more than once that it has the engine
      moving = true;
      clearTimeout(timer);
      timer = 0;
      answer.source.port.close();
      const next = await connect(clientId, infoHash, at, to, patience);
      moving = false;
      if (!next) return fail('the engine is gone');
      answer.source = next;
      listen();
      pulls = 0;
      pull();
    }
  }
})();
