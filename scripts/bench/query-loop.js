// A program that asks the vendor's Agent SDK, and nothing else. Told `{id, name, module, prompt, options}` it answers
// `{id, text, firstMs, answerMs, endMs}`: milliseconds from the call of query() to the first piece of text (null: none
// came), to the result, and to the end of the stream. `{id, abort}` aborts the query with that name.

/** @type {Map<string, AbortController>} */
const running = new Map();

/** @param {{ name: string, module: string, prompt: string, options: Record<string, unknown> }} wanted */
async function ask({ name, module, prompt, options }) {
  const { query } = await import(module);
  const abortController = new AbortController();
  running.set(name, abortController);
  const startedAt = performance.now();
  /** @type {{ text: unknown, firstMs: number | null, answerMs: number | null }} */
  const seen = { text: null, firstMs: null, answerMs: null };
  for await (const message of query({ prompt, options: { ...options, abortController } })) {
    const since = performance.now() - startedAt;
    if (message.type === 'stream_event' && message.event.delta?.type === 'text_delta') seen.firstMs ??= since;
    if (message.type !== 'result') continue;
    seen.answerMs = since;
    seen.text = message.result;
  }
  return { ...seen, endMs: performance.now() - startedAt };
}

process.on('message', async (/** @type {any} */ wanted) => {
  const { id } = wanted;
  if (wanted.abort !== undefined) {
    running.get(wanted.abort)?.abort();
    process.send?.({ id });
    return;
  }
  try {
    process.send?.({ id, ...(await ask(wanted)) });
  } catch (error) {
    process.send?.({ id, failed: String(error) });
  } finally {
    running.delete(wanted.name);
  }
});
