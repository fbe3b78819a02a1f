// Keeps the page on the device, so that it works without a network: the network first, what is kept without.
// What is kept was compared with its sha256. The next lines are filled in when a bundle is made.
const CONTENT = "{{content}}"; // of all files below: another bundle is another worker
const FILES = {{files}};
const BUILDS = {{builds}};

const PATIENCE_MS = 4000; // a network that answers later than this is taken for none
const NAME = `edgekd ${registration.scope} `;
const CACHE = NAME + CONTENT;
const build = new URL(location).searchParams.get("build");
const KEPT = { ...FILES, ...BUILDS[build] };

addEventListener("install", (event) => event.waitUntil(keep()));
addEventListener("activate", (event) => event.waitUntil(forget().then(() => clients.claim())));
addEventListener("fetch", (event) => {
  const { request } = event, path = pathOf(request);
  if (request.method === "GET" && (path in KEPT || path === "manifest.json")) event.respondWith(answer(request, path));
});

async function keep() {
  const cache = await caches.open(CACHE);
  await Promise.all(Object.entries(KEPT).map(async ([path, digest]) => cache.put(url(path), await fetchChecked(path, digest))));
  await cache.put(url("manifest.json"), await fetch(url("manifest.json")));
}

/** The file as the browser has it from the visit; only where that is an old one, from the server again. */
async function fetchChecked(path, digest) {
  for (const cache of ["default", "reload"]) {
    const answer = await fetch(url(path), { cache });
    if (answer.ok && (await sha256(await answer.clone().arrayBuffer())) === digest) return answer;
  }
  throw new Error(`${path} is not the file this page was published with`);
}

async function sha256(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function forget() {
  const old = (await caches.keys()).filter((name) => name.startsWith(NAME) && name !== CACHE);
  await Promise.all(old.map((name) => caches.delete(name)));
}

async function answer(request, path) {
  const kept = await (await caches.open(CACHE)).match(url(path));
  const fresh = fetch(request);
  if (!kept) return fresh;
  const late = new Promise((done) => setTimeout(done, PATIENCE_MS, kept));
  return Promise.race([fresh.catch(() => kept), late]);
}

/** The path of a request below the folder of this page; the folder itself is index.html. */
function pathOf(request) {
  const { origin, pathname } = new URL(request.url), scope = new URL(registration.scope);
  if (origin !== scope.origin || !pathname.startsWith(scope.pathname)) return "";
  return decodeURIComponent(pathname.slice(scope.pathname.length)) || "index.html";
}

function url(path) {
  return new URL(path, registration.scope).href;
}
