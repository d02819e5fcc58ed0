// Streams a workflow with fal's client and prints what it saw: node stream.mjs URL WORKFLOW INPUT
import { fal } from "@fal-ai/client";

const [url, workflow, input] = process.argv.slice(2);
fal.config({ credentials: "any:key" });
const stream = await fal.stream(workflow, { url, input: JSON.parse(input) });
const events = [];
for await (const event of stream) events.push(event);
console.log(JSON.stringify({ events, done: await stream.done() }));
