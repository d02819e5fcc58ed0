// Plays scenes with fal's client and prints what it saw of each: node scenes.mjs PLAN
// PLAN: {proxyUrl} or {fal, queue} for where to, {bases} by path where some go elsewhere, {headers}, {retry},
// {scenes: [{name, kind, workflow, …}]}
import { fal } from "@fal-ai/client";

const plan = JSON.parse(process.argv[2]);
const base = (url) => plan.bases?.[new URL(url).pathname] ?? plan.fal;
const elsewhere = (url) => url.replace("https://fal.run", base(url)).replace("https://queue.fal.run", plan.queue);
const requestMiddleware = async (request) => ({
  ...request,
  headers: { ...request.headers, ...plan.headers },
  url: plan.proxyUrl ? request.url : elsewhere(request.url),
});
fal.config({
  credentials: "id:secret",
  requestMiddleware,
  ...(plan.proxyUrl ? { proxyUrl: { url: plan.proxyUrl, when: "always" } } : {}),
  ...(plan.retry ? { retry: plan.retry } : {}),
});

const failure = ({ name, message, status, body, requestId, timeoutType }) => ({ name, message, status, body, requestId, timeoutType });
const kinds = {
  async stream({ workflow, url, go }) {
    const stream = await fal.stream(workflow, { input: { seed: 1 }, ...(url ? { url } : {}) });
    const done = stream.done().then((last) => ({ last }), (error) => ({ error: failure(error) }));
    const events = [];
    for await (const event of stream) {
      // An answer that is no event stream comes as bytes, in pieces as they happen to arrive.
      events.push(event instanceof Uint8Array ? "bytes" : event);
      if (go && events.length === 1) await (await fetch(go)).text();
    }
    const end = await done;
    return { events, end: end.last instanceof Uint8Array ? "bytes" : end, requestId: stream.requestId };
  },
  run: async ({ workflow }) => fal.run(workflow, { input: { seed: 1 } }),
  async subscribe({ workflow, mode, input }) {
    const updates = [];
    const options = { input, logs: true, mode, pollInterval: 10, onQueueUpdate: ({ status }) => updates.push(status) };
    return { ...(await fal.subscribe(workflow, options)), updates };
  },
  async cancel({ workflow, input, headers }) {
    const { request_id: requestId } = await fal.queue.submit(workflow, { input, headers });
    await fal.queue.cancel(workflow, { requestId });
    const { status } = await fal.queue.subscribeToStatus(workflow, { requestId, pollInterval: 10 });
    return { requestId, status, result: await fal.queue.result(workflow, { requestId }).catch(failure) };
  },
  submit: async ({ workflow }) => fal.queue.submit(workflow, { input: { seed: 1 } }),
};
const play = async (scene) => [scene.name, await kinds[scene.kind](scene).catch((error) => ({ error: failure(error) }))];
console.log(JSON.stringify(Object.fromEntries(await Promise.all(plan.scenes.map(play)))));
