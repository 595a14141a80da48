// What a Node SDK reads of one answer. Reads lines {"sdk", "url", "stream"}; prints a line of JSON for each.
import { createInterface } from "node:readline";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(process.argv[2] + "/");
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const QUESTION = [{ role: "user", content: "Where is my parcel?" }];

async function openai({ url, stream }) {
  const { default: OpenAI } = await load("openai");
  const client = new OpenAI({ baseURL: url, apiKey: "none", maxRetries: 0, timeout: 10_000 });
  const asked = { model: "shop", messages: QUESTION };
  if (!stream) return (await client.chat.completions.create(asked)).choices ?? null;
  const read = [];
  const options = { ...asked, stream: true, stream_options: { include_usage: true } };
  for await (const chunk of await client.chat.completions.create(options)) read.push(chunk.choices ?? null);
  return read;
}

async function ai({ url, stream }) {
  const { createOpenAICompatible } = await load("@ai-sdk/openai-compatible");
  const { generateText, streamText } = await load("ai");
  const model = createOpenAICompatible({ name: "shop", baseURL: url, apiKey: "none", includeUsage: true })("shop");
  const asked = { model, messages: QUESTION, maxRetries: 0 };
  if (!stream) {
    const { text, finishReason, toolCalls, reasoningText } = await generateText(asked);
    return { text, finishReason, toolCalls, reasoningText };
  }
  let failure = null;
  const { fullStream } = streamText({ ...asked, onError: ({ error }) => (failure = error) });
  const read = [];
  for await (const part of fullStream) if (part.text !== undefined) read.push([part.type, part.text]);
  if (failure) throw failure;
  return read;
}

const SDKS = { openai, ai };
const named = (error) => ({ error: error?.name ?? String(error), status: error?.status ?? error?.statusCode ?? null });

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  let read;
  try {
    read = { read: (await SDKS[asked.sdk](asked)) ?? null };
  } catch (error) {
    read = named(error);
  }
  console.log("read " + JSON.stringify(read));
}
