// A page that calls a workflow with fal's client in every way, and tells its own server what it saw.
import { fal } from "@fal-ai/client";

const { proxyUrl, workflow } = Object.fromEntries(new URLSearchParams(location.search));
fal.config({ proxyUrl });

const failure = ({ name, message, status, body, requestId }) => ({ name, message, status, body, requestId });
const caught = (what) => what.catch((error) => ({ error: failure(error) }));
const input = { prompt: "a cute puppy" };

async function stream() {
  const stream = await fal.stream(workflow, { input });
  const events = [];
  for await (const event of stream) events.push(event);
  return { events, done: await stream.done(), requestId: stream.requestId };
}

const seen = {
  origin: location.origin,
  stream: await caught(stream()),
  run: await caught(fal.run(workflow, { input })),
  refused: await caught(fal.run(`${workflow}-refused`, { input })),
  subscribe: await caught(fal.subscribe(workflow, { input, pollInterval: 10 })),
};
await fetch("/seen", { method: "POST", body: JSON.stringify(seen) });
