// Plays one scene at a queue with fal's client and prints what it saw: node queue.mjs QUEUE_URL SCENE WORKFLOW INPUT
import { fal } from "@fal-ai/client";

const [queueUrl, scene, workflow, text] = process.argv.slice(2);
const input = JSON.parse(text);
const toQueue = async (request) => ({ ...request, url: request.url.replace("https://queue.fal.run", queueUrl) });
fal.config({ credentials: "id:secret", requestMiddleware: toQueue });
const slow = { "x-emulator-fault": JSON.stringify({ apps: { "*": { latency: { kind: "fixed", seconds: 600 } } } }) };
const failure = ({ name, status, body }) => ({ name, status, body });

const scenes = {
  async subscribe() {
    const updates = [];
    const onQueueUpdate = (update) => updates.push(update);
    const options = { input, logs: true, pollInterval: 10, onQueueUpdate };
    return { result: await fal.subscribe(workflow, options), updates };
  },
  async stream() {
    const held = await fal.queue.submit(workflow, { input, headers: slow });
    const waiting = await fal.queue.submit(workflow, { input });
    const updates = [];
    const onQueueUpdate = (update) => {
      if (updates.length === 0) fal.queue.cancel(workflow, { requestId: held.request_id });
      updates.push(structuredClone(update));
    };
    const options = { requestId: waiting.request_id, logs: true, mode: "streaming", onQueueUpdate };
    const done = await fal.queue.subscribeToStatus(workflow, options);
    return { waiting, updates, done, status: await fal.queue.status(workflow, { ...options, onQueueUpdate: undefined }) };
  },
  async fail() {
    const { request_id: requestId } = await fal.queue.submit(workflow, { input });
    const done = await fal.queue.subscribeToStatus(workflow, { requestId, pollInterval: 10 });
    return { done, result: await fal.queue.result(workflow, { requestId }).catch(failure) };
  },
  async cancel() {
    const { request_id: requestId } = await fal.queue.submit(workflow, { input, headers: slow });
    const early = await fal.queue.result(workflow, { requestId }).catch(failure);
    await fal.queue.cancel(workflow, { requestId });
    const done = await fal.queue.subscribeToStatus(workflow, { requestId, pollInterval: 10 });
    const again = await fal.queue.cancel(workflow, { requestId }).catch(failure);
    return { early, done, again, result: await fal.queue.result(workflow, { requestId }).catch(failure) };
  },
};
console.log(JSON.stringify(await scenes[scene]()));
